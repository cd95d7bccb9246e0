"""A policy's outcome for the terminal."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Any

from tracer_cli.report import words
from tracer_cli.report.words import interval, percent

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

NAMES = 8


def console() -> Console:
    """stdout; plain text without colours where it is no terminal."""
    import shutil
    import sys

    from rich.console import Console

    width = shutil.get_terminal_size((100, 24)).columns if sys.stdout.isatty() else 100
    return Console(highlight=False, soft_wrap=False, width=width)


def printable(value: str) -> str:
    """A label or name as it may go to a terminal: no control sequence of a stranger's."""
    return "".join("?" if unicodedata.category(character) == "Cc" else character for character in value)


def summary(manifest: dict[str, Any], out: Console, qualitative: dict[str, Any] | None = None) -> None:
    """Verdict, routing policy, every target, and what those lack that are not certified.

    qualitative: the qualitative report of the same fit, if there is one.
    """
    from rich.text import Text

    verdict = manifest["verdict"]
    title = "CERTIFIED" if verdict["deploy"] else "BLOCKED"
    style = "bold green" if verdict["deploy"] else "bold red"
    out.print(Text(f"{title}  {printable(manifest['project'])}", style=style))
    out.print(Text(f"{verdict['reason']}."))
    out.print()
    out.print(policy_table(manifest, qualitative))
    print_targets(manifest, out)


def policy_table(manifest: dict[str, Any], qualitative: dict[str, Any] | None = None) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    deployed = words.deployed(manifest)
    filtered = None if qualitative is None else qualitative["filtered"]
    table = Table(title="Routing policy", title_justify="left", show_header=False, box=None, padding=(0, 2, 0, 0))
    rows = {
        "method": f"{manifest['method']}: {words.METHODS[manifest['method']]}",
        "surrogate": words.surrogate(manifest),
        "embedder": f"{manifest['embedder']['kind']}, {manifest['dim']} dimensions",
        "scope": f"{manifest['scope']}: {words.SCOPES[manifest['scope']]}",
        "evidence": f"{manifest['evidence']}: {words.evidence(manifest)}",
        "coverage": _coverage(deployed),
        "agreement" if manifest["scope"] == "handled" else "parity": _agreement(manifest, deployed),
        "distance check": words.distance_check(manifest, filtered),
        "labels": _labels(manifest, filtered),
    }
    for name, value in rows.items():
        table.add_row(name, Text(printable(value)))
    return table


def _coverage(deployed: dict[str, Any]) -> str:
    if not deployed["certified"]:
        return "nothing certified"
    return f"{percent(deployed['coverage'])} of inputs ({interval(deployed['coverage_interval'])})"


def _agreement(manifest: dict[str, Any], deployed: dict[str, Any]) -> str:
    if not deployed["certified"]:
        return "nothing certified"
    bound = f"at least {percent(deployed['lower_bound'])} with confidence {manifest['confidence']:g}"
    if manifest["scope"] == "overall":
        return f"{bound} over all traffic; of the handled {percent(deployed['agreement'])}, an estimate"
    return f"{percent(deployed['agreement'])} of the handled; {bound}"


def _labels(manifest: dict[str, Any], filtered: dict[str, int] | None) -> str:
    parts = [f"{len(manifest['labels'])} to answer with", words.label_check(manifest, filtered)]
    for outcome in ("deferred", "too little evidence"):
        names = words.labels_with(manifest, outcome)
        if names:
            more = f" and {len(names) - NAMES} more" if len(names) > NAMES else ""
            parts.append(f"{outcome}: {', '.join(names[:NAMES])}{more}")
    return "; ".join(part for part in parts if part)


def print_targets(manifest: dict[str, Any], out: Console) -> None:
    """Every target, how to read it, and what is missing where nothing is certified."""
    from rich.text import Text

    out.print(targets_table(manifest))
    out.print(Text("at least: the one-sided lower bound that certifies; the interval is two-sided, so it starts lower"))
    missing = words.shortfalls(manifest)
    if missing:
        out.print(shortfall_table(manifest["scope"], missing))
        for word, note in words.needed_notes(missing).items():
            out.print(Text(f"{word}: {note}"))


def targets_table(manifest: dict[str, Any]) -> RenderableType:
    from rich.table import Table

    handled = manifest["scope"] == "handled"
    table = Table(title=f"\nTargets, each at confidence {manifest['confidence']:g}", title_justify="left", box=None)
    table.add_column("target")
    columns = ("agreement", "interval", "at least") if handled else ("parity over all", "at least")
    for name in ("coverage", *columns, "handled"):
        table.add_column(name, justify="right")
    for t in manifest["targets"]:
        name = f"{t['target']:g}{' *' if t['target'] == manifest['target'] else ''}"
        if not t["certified"]:
            table.add_row(name, "none", *("-" for _ in columns), f"0/{t['evidence_rows']}")
            continue
        if handled:
            shares = [percent(t["agreement"]), interval(t["agreement_interval"])]
        else:
            shares = [percent(1 - (t["handled"] - t["agreed"]) / t["evidence_rows"])]
        cells = [percent(t["coverage"]), *shares, percent(t["lower_bound"])]
        table.add_row(name, *cells, f"{t['handled']}/{t['evidence_rows']}")
    return table


def shortfall_table(scope: str, missing: list[dict[str, Any]]) -> RenderableType:
    from rich.table import Table

    title = "\nNot certified: at the threshold that was tested first"
    table = Table(title=title, title_justify="left", box=None)
    table.add_column("target")
    for name in ("coverage", words.CERTIFIES[scope], "supports", "texts now", "needed"):
        table.add_column(name, justify="right")
    for m in missing:
        shares = (percent(m["coverage"]), percent(m["share"]), f"{m['supported']:.3f}")
        table.add_row(f"{m['target']:g}", *shares, f"{m['rows']:,}", m["needed"])
    return table


def labels_table(qualitative: dict[str, Any], most: int = 30) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    labels = qualitative["labels"]
    where = "" if qualitative["shown"]["certified"] else ", at the threshold that was tested first: nothing is handled"
    table = Table(title=f"Labels{where}", title_justify="left", box=None)
    table.add_column("label", overflow="fold")
    for name in ("holdout", "coverage", "agreement", "agreed", "interval"):
        table.add_column(name, justify="right")
    table.add_column("")
    for entry in labels[:most]:
        answered = entry["answered"]
        table.add_row(
            Text(printable(entry["label"])),
            str(entry["holdout_rows"]),
            percent(entry["coverage"]),
            percent(entry["agreement"]),
            f"{entry['agreed']} of {answered}" if answered else "-",
            interval(entry["agreement_interval"]) if answered else "-",
            words.label_note(entry),
        )
    if len(labels) > most:
        table.add_row(f"and {len(labels) - most} more")
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
