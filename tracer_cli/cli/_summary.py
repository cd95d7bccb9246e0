"""A policy's outcome for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console, RenderableType


def console() -> Console:
    """stdout; plain text without colours where it is no terminal."""
    import shutil
    import sys

    from rich.console import Console

    width = shutil.get_terminal_size((100, 24)).columns if sys.stdout.isatty() else 100
    return Console(highlight=False, soft_wrap=False, width=width)


def percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def interval(bounds: list[float]) -> str:
    return f"{100 * bounds[0]:.1f} to {100 * bounds[1]:.1f} %"


def summary(manifest: dict[str, Any], out: Console) -> None:
    """Verdict, routing policy, every target."""
    from rich.text import Text

    verdict = manifest["verdict"]
    title = "CERTIFIED" if verdict["deploy"] else "BLOCKED"
    out.print(Text(f"{title}  {manifest['project']}", style="bold green" if verdict["deploy"] else "bold red"))
    out.print(Text(f"{verdict['reason']}."))
    out.print()
    out.print(policy_table(manifest))
    out.print(targets_table(manifest))


def policy_table(manifest: dict[str, Any]) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    deployed = next(t for t in manifest["targets"] if t["target"] == manifest["target"])
    agreement = "nothing certified"
    if deployed["certified"]:
        agreement = f"{percent(deployed['agreement'])} of the handled ({interval(deployed['agreement_interval'])})"
    table = Table(title="Routing policy", title_justify="left", show_header=False, box=None, padding=(0, 2, 0, 0))
    surrogate = manifest["surrogate"]
    rows = {
        "method": manifest["method"],
        "surrogate": f"{surrogate['name']} ({surrogate['kind']}), {len(manifest['labels'])} labels",
        "embedder": f"{manifest['embedder']['kind']}, {manifest['dim']} dimensions",
        "coverage": f"{percent(deployed['coverage'])} of inputs ({interval(deployed['coverage_interval'])})",
        "agreement": agreement,
        "evidence": f"{manifest['evidence_rows']} holdout texts, {manifest['fit_rows']} texts to fit on",
    }
    for name, value in rows.items():
        table.add_row(name, Text(value))
    return table


def targets_table(manifest: dict[str, Any]) -> RenderableType:
    from rich.table import Table

    table = Table(title=f"\nTargets, each at confidence {manifest['confidence']:g}", title_justify="left", box=None)
    table.add_column("target")
    for name in ("coverage", "agreement", "interval", "handled"):
        table.add_column(name, justify="right")
    for t in manifest["targets"]:
        mark = " *" if t["target"] == manifest["target"] else ""
        if t["certified"]:
            cells = [percent(t["coverage"]), percent(t["agreement"]), interval(t["agreement_interval"])]
            table.add_row(f"{t['target']:g}{mark}", *cells, f"{t['handled']}/{t['evidence_rows']}")
        else:
            table.add_row(f"{t['target']:g}{mark}", "none", "-", "-", f"0/{t['evidence_rows']}")
    return table


def labels_table(labels: list[dict[str, Any]], most: int = 30) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    table = Table(title="Labels", title_justify="left", box=None)
    table.add_column("label")
    for name in ("holdout", "coverage", "answered", "agreement"):
        table.add_column(name, justify="right")
    for entry in labels[:most]:
        table.add_row(
            Text(entry["label"]),
            str(entry["holdout_rows"]),
            percent(entry["coverage"]),
            str(entry["answered"]),
            percent(entry["agreement"]),
        )
    if len(labels) > most:
        table.add_row(f"and {len(labels) - most} more", "", "", "", "")
    return table


def cost_table(cost: dict[str, Any]) -> RenderableType:
    from rich.table import Table

    table = Table(title="Cost projection", title_justify="left", show_header=False, box=None, padding=(0, 2, 0, 0))
    unit = cost["currency"]
    table.add_row(
        "without tracer", f"{cost['calls_per_day']:,.0f} calls a day", f"{cost['cost_per_day']:,.2f} {unit} a day", ""
    )
    table.add_row(
        "with tracer",
        f"{cost['calls_per_day_with_policy']:,.0f} calls a day",
        f"{cost['cost_per_day_with_policy']:,.2f} {unit} a day",
        f"{cost['saved_per_year']:,.0f} {unit} saved a year",
    )
    return table
