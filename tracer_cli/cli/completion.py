"""`tracer completion`: the script that teaches a shell tracer's commands, options and names."""

from __future__ import annotations

import click


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]), metavar="SHELL")
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print the completion script for a shell.

    SHELL is bash (4.4 or later), zsh or fish. With it the Tab key completes commands, options, the keys of
    `tracer explain` and the models of `tracer run train --model`.

    \b
    Examples:
      tracer completion bash >> ~/.bashrc
      tracer completion zsh >> ~/.zshrc
      tracer completion fish > ~/.config/fish/completions/tracer.fish
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None, shell
    click.echo(kind(context.find_root().command, {}, "tracer", "_TRACER_COMPLETE").source())
