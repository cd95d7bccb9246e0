"""What `tracer update` does, and how it tells it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tracer_cli.cli._summary import NAMES, console, printable
from tracer_cli.errors import ConfigError, GuardFailedError
from tracer_cli.progress import automatic
from tracer_cli.refit import Update, project_of, update_folder, update_project
from tracer_cli.report import words
from tracer_cli.report.words import interval, percent

if TYPE_CHECKING:
    from rich.table import Table

PROJECT_FILE = "tracer.yaml"
ROWS = ("read", "accepted", "merged", "rejected", "skipped")
OPTIONS = {"target": "target_teacher_agreement"}  # those that go by another name in FitConfig


def run(
    traces: list[Path],
    project: Path,
    artifact_dir: Path | None,
    source: str | None,
    results: Path | None,
    embeddings: Path | None,
    settings: dict[str, Any],
) -> Update:
    root = project if artifact_dir is None and (project / PROJECT_FILE).is_file() else None
    if artifact_dir is not None:
        root = project_of(artifact_dir)
    if root is not None:
        given = [*settings, *(["embeddings"] if embeddings else [])]
        if given:
            names = ", ".join(f"--{name.replace('_', '-')}" for name in given)
            raise ConfigError(f"{names}: {root / PROJECT_FILE} says how this policy is fitted: change it there")
        return update_project(root, traces, source, results)
    if source is not None or results is not None:
        raise ConfigError(f"--source and --results go with a project, and there is no {project / PROJECT_FILE}")
    matrix = None
    if embeddings is not None:
        from tracer_cli.embedders.precomputed import read_vectors

        matrix = read_vectors({"path": str(embeddings), "column": "embedding"}, Path())
    changed = {OPTIONS.get(name, name): value for name, value in settings.items()}
    folder = artifact_dir or project / ".tracer"
    return update_folder(traces, folder, matrix, settings=changed, progress=automatic())


def show(done: Update, as_json: bool, check: bool) -> None:
    if as_json:
        # ASCII: a label's control characters reach no terminal.
        click.echo(json.dumps(done.data(), indent=2, allow_nan=False))
    else:
        for line in lines(done):
            click.echo(line)
        _print_verdicts(done)
    for note in (*(done.traces or {}).get("notes", ()), *done.notes, *done.result.notes):
        click.echo(f"note: {printable(note)}", err=True)
    if check and not done.result.deploy:
        raise GuardFailedError(f"the parity guard did not pass: {done.result.verdict}")


def lines(done: Update) -> Iterator[str]:
    """The new traces, a statement a line; no control sequence of a stranger's."""
    for part in done.parts:
        word = "added" if part["new"] else "already there"
        yield printable(f"{word}: {part['file']} as {part['part']}")
    if done.traces is None:
        return
    found = done.traces
    yield "rows: " + ", ".join(f"{found['rows'][name]:,} {name}" for name in ROWS)
    for line in found["rejected_first"]:
        yield printable(f"  {line}")
    new = "" if found["texts_new"] is None else f", {found['texts_new']:,} of them new"
    origins = ", ".join(f"{count:,} {origin}" for origin, count in found["origins"].items() if count)
    yield f"texts: {found['texts']:,}{new}; {origins}"
    yield from _labels(found["labels"])
    yield from _distribution(found["distribution"])
    yield from _teacher(found["teacher"])


def _labels(labels: dict[str, Any]) -> Iterator[str]:
    if labels["new"]:
        yield "new labels: " + _names([f"{e['label']} ({words.number_of(e['texts'], 'text')})" for e in labels["new"]])
    if labels["absent"]:
        told = [f"{e['label']} ({words.number_of(e['texts_before'], 'text')} before)" for e in labels["absent"]]
        yield f"labels that did not come any more: {_names(told)}"
        yield f"  {labels['absent_rule']}"


def _distribution(found: dict[str, Any] | None) -> Iterator[str]:
    if found is None:
        return
    word = "moved beyond noise" if found["beyond_noise"] else "did not move beyond noise"
    distance, by_chance = (percent(found[name]) for name in ("distance", "distance_by_chance"))
    yield (
        f"label distribution: {word} (p = {found['p']:.3g}): {distance} of the texts would have to change their label "
        f"to be as before (total variation; about {by_chance} by chance alone)"
    )
    for entry in found["labels"][:NAMES]:
        yield printable(f"  {entry['label']}: {percent(entry['before'])} before, {percent(entry['new'])} of the new")
    if len(found["labels"]) > NAMES:
        yield f"  and {len(found['labels']) - NAMES} more"


def _teacher(found: dict[str, Any]) -> Iterator[str]:
    if found["instructions_new"]:
        came = words.number_of(found["instructions_new"], "set")
        listed = "" if found["complete"] else " that are listed"
        yield f"the teacher changed: {came} of instructions that are not among those of the traces before{listed}"
    if found["models_new"]:
        yield f"the teacher's model is new to the traces: {_names(found['models_new'])}"


def _names(names: list[str]) -> str:
    more = f" and {len(names) - NAMES} more" if len(names) > NAMES else ""
    return printable(", ".join(names[:NAMES])) + more


def _print_verdicts(done: Update) -> None:
    from rich.text import Text

    out = console()
    out.print()
    title, style = ("CERTIFIED", "bold green") if done.result.deploy else ("BLOCKED", "bold red")
    out.print(Text(f"{title}  {printable(done.result.manifest['project'])}", style=style))
    out.print(Text(printable(f"{done.result.verdict}.")))
    out.print(_table(done))
    for line in _changes(done.changed()):
        out.print(Text(line))
    out.print(Text(f"policy: {printable(str(done.result.path))}; the whole story: `tracer report-html`"))


def _changes(changed: dict[str, Any] | None) -> Iterator[str]:
    if changed is None:
        return
    for word in ("gained", "lost"):
        if names := changed[f"labels_{word}"]:
            yield f"labels that the policy can answer with, {word}: {_names(names)}"
    for entry in changed["labels_moved"]:
        before, now = (f"{entry[side]['agreed']:,} of {entry[side]['answered']:,}" for side in ("before", "now"))
        yield printable(f"agreement of {entry['label']} moved beyond noise: {before} before, {now} now")


def _table(done: Update) -> Table:
    """Coverage and what the scope certifies at the deployed target, before and now, with two-sided intervals."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("")
    table.add_column("before", justify="right")
    table.add_column("now", justify="right")
    table.add_column("")
    sides = [_deployed(facts) for facts in (done.before, done.now)]
    changed = done.changed()
    targets = changed["targets"] if changed else []
    entry = next((t for t in targets if t["target"] == done.now["verdict"]["target"]), None)
    for name, key in (("coverage", "coverage"), (words.CERTIFIES[done.now["scope"]], "share")):
        same = entry is not None and sides[0] is not None and sides[0]["target"] == entry["target"]
        noise = words.beyond(entry[f"{key}_beyond_noise"]) if entry and same else ""
        table.add_row(Text(name), *(Text(_cell(side, key)) for side in sides), Text(noise))
    verdicts = [words.verdict(facts["verdict"]) if facts else "no policy" for facts in (done.before, done.now)]
    table.add_row(Text("verdict"), *map(Text, verdicts), Text(""))
    return table


def _deployed(facts: dict[str, Any]) -> dict[str, Any] | None:
    return next((t for t in facts["targets"] if t["target"] == facts["verdict"]["target"]), None) if facts else None


def _cell(target: dict[str, Any] | None, key: str) -> str:
    if target is None or not target["certified"]:
        return "-"
    return f"{percent(target[key])} ({interval(target[f'{key}_interval'])})"
