"""What `tracer monitor` found, as text or JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from tracer_cli.cli._summary import NAMES, console, printable
from tracer_cli.errors import GuardFailedError
from tracer_cli.report.words import interval, number_of, percent

if TYPE_CHECKING:
    from rich.console import RenderableType

LABELS = 10
PERIODS = 14
LEAST_P = 1e-6
STYLES = {"BELOW TARGET": "bold red", "AT LEAST TARGET": "bold green", "UNDECIDED": "bold yellow"}


def show(found: dict[str, Any], as_json: bool, check: bool) -> None:
    """Print; raise GuardFailedError with `check` when parity was below the target."""
    if as_json:
        # ASCII: a label's control characters reach no terminal.
        click.echo(json.dumps(found, indent=2, allow_nan=False))
    else:
        _print(found)
    if check and found["parity"]["below_target"]:
        first = found["parity"]["first"]
        raise GuardFailedError(
            f"parity of policy {found['policy']} was below the target {found['target']:g} at {first['time']}, with "
            f"confidence {found['confidence']:g}: fit it again with the new traces (`tracer update`), or lower the "
            "target"
        )


def _print(found: dict[str, Any]) -> None:
    from rich.text import Text

    out = console()
    title = verdict(found["parity"])
    out.print(
        Text(f"{title}  {printable(found['project'])}, policy {found['policy']}", style=STYLES.get(title, "bold"))
    )
    for line in (*_parity(found), *_lines(found["logs"])):
        out.print(Text(printable(line)))
    if found["labels"]:
        out.print(_label_table(found))
    out.print(Text("\nAgainst the holdout", style="italic"))
    for line in _drift(found["drift"]):
        out.print(Text(printable(line)))
    if found["volume"]["periods"]:
        out.print(_volume_table(found["volume"]))


def verdict(parity: dict[str, Any]) -> str:
    if not parity["counted"]:
        return "NO AUDITS"
    if parity["below_target"]:
        return "BELOW TARGET"
    return "AT LEAST TARGET" if parity["at_least_target"] else "UNDECIDED"


# --- parity ---------------------------------------------------------------------------------------


def _parity(found: dict[str, Any]) -> Iterator[str]:
    parity, target = found["parity"], percent(found["target"])
    if not parity["counted"]:
        yield (
            f"{number_of(parity['audited'], 'audit')} of this policy at target {target}, and none of a handled "
            "request: nothing is known of its parity."
        )
        return
    yield (
        f"{number_of(parity['audited'], 'audit')} from {parity['from']} to {parity['to']}: {parity['handled']:,} "
        f"handled, on {parity['agreed']:,} of them the teacher agrees ({percent(parity['agreement'])})."
    )
    what = "Parity among the handled" if found["scope"] == "handled" else "Parity over all traffic"
    yield (
        f"{what} is {percent(parity['share'])}, between {interval(parity['interval']).replace(' to ', ' and ')} with "
        f"confidence {found['confidence']:g} for all looks together; the target is {target}."
    )
    first = parity["first"]
    if first is not None:
        yield (
            f"It was below the target at {first['time']}, after {number_of(first['audited'], 'audit')} "
            f"({first['handled']:,} handled, {first['agreed']:,} agreed): then between "
            f"{interval(first['interval']).replace(' to ', ' and ')}. From there on a running router defers everything."
        )
    elif parity["at_least_target"]:
        yield "It is at least the target."
    else:
        yield "These audits do not tell on which side of the target it lies: nothing speaks against the certificate."


def _lines(logs: dict[str, Any]) -> Iterator[str]:
    rest = {
        "deferred": logs["deferred"],
        "of other policies": sum(logs["other_policies"].values()),
        "at another target": logs["other_target"],
        "without a policy": logs["without_policy"],
        "repeated": logs["repeated"],
        "unusable": sum(logs["unusable"].values()),
        "unreadable": logs["unreadable"],
    }
    others = "".join(f"; {count:,} {name}" for name, count in rest.items() if count)
    files = number_of(len(logs["files"]), "file")
    yield f"{number_of(logs['lines'], 'line')} in {files}: {number_of(logs['audits'], 'audit')} of this policy{others}."
    for reason, count in list(logs["unusable"].items())[:NAMES]:
        yield f"  unusable: {reason} ({count:,})"
    if logs["first_unreadable"]:
        yield f"  unreadable, the first: {logs['first_unreadable']}"


def _label_table(found: dict[str, Any]) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    handled = found["scope"] == "handled"
    title = "\nLabels" + (", the least likely to reach the target first" if handled else " answered with")
    table = Table(title=title, title_justify="left", box=None)
    table.add_column("label", overflow="fold")
    for name in ("agreed", "agreement", "interval", *(["p"] if handled else [])):
        table.add_column(name, justify="right")
    table.add_column("")
    for entry in found["labels"][:LABELS]:
        p = [_p(entry["p"])] if handled else []
        table.add_row(
            Text(printable(entry["label"])),
            f"{entry['agreed']:,} of {entry['answered']:,}",
            percent(entry["agreement"]),
            interval(entry["interval"]),
            *p,
            "below target" if entry["below_target"] else "",
        )
    if len(found["labels"]) > LABELS:
        table.add_row(f"and {len(found['labels']) - LABELS} more")
    return table


# --- drift ----------------------------------------------------------------------------------------


def _drift(drift: dict[str, Any]) -> Iterator[str]:
    texts = f"{drift['distinct_texts']:,} distinct audited texts"
    if drift["texts_of_the_fit"]:
        texts += f", of which {drift['texts_of_the_fit']:,} were in the fit and are left out"
    yield f"{texts}."
    told = {
        "defer rate": ("defer_rate", _defer_rate),
        "scores": ("scores", _numbers),
        "distances": ("distances", _numbers),
        "labels": ("labels", _labels),
    }
    for name, (key, sentence) in told.items():
        entry = drift[key]
        if "missing" in entry:
            yield f"{name}: not compared: {entry['missing']}"
        else:
            yield f"{name}: {sentence(entry)}; {_outcome(entry)}"
    yield f"({drift['rule']})"


def _outcome(entry: dict[str, Any]) -> str:
    if entry["p"] is None:
        return f"too few to tell ({entry['too_few']})"
    word = "beyond noise" if entry["beyond_noise"] else "within noise"
    p = _p(entry["p_all"])
    return f"{word} (p {p if p.startswith('<') else f'= {p}'})"


def _p(value: float) -> str:
    return f"{value:.2g}" if value >= LEAST_P else f"< {LEAST_P:g}"


def _defer_rate(entry: dict[str, Any]) -> str:
    return (
        f"{percent(entry['share'])} of {entry['texts']:,} texts ({interval(entry['interval'])}), "
        f"{percent(entry['reference_share'])} of the holdout's"
    )


def _numbers(entry: dict[str, Any]) -> str:
    return (
        f"median {entry['median']:.4f} of {entry['texts']:,} texts, {entry['reference_median']:.4f} on the holdout; "
        f"largest gap of the distributions {percent(entry['gap'])}"
    )


def _labels(entry: dict[str, Any]) -> str:
    moved = ", ".join(
        f"{one['label']} {percent(one['reference_share'])} -> {percent(one['share'])}" for one in entry["moved"][:NAMES]
    )
    return (
        f"{percent(entry['distance'])} of {entry['texts']:,} texts would have to change theirs to be as on the holdout "
        f"(about {percent(entry['distance_by_chance'])} by chance alone)" + (f"; moved: {moved}" if moved else "")
    )


# --- volume ---------------------------------------------------------------------------------------


def _volume_table(volume: dict[str, Any]) -> RenderableType:
    from rich.table import Table

    periods = volume["periods"]
    more = f", the last {PERIODS} of {len(periods)}" if len(periods) > PERIODS else ""
    table = Table(title=f"\nVolume by {volume['unit']} (UTC){more}", title_justify="left", box=None)
    table.add_column(volume["unit"])
    for name in ("audited", "handled", "agreed", "deferred, logged", "requests (± s.e.)"):
        table.add_column(name, justify="right")
    for entry in periods[-PERIODS:]:
        table.add_row(
            entry["period"],
            *(f"{entry[name]:,}" for name in ("audited", "handled", "agreed", "deferred_logged")),
            _requests(entry),
        )
    return table


def _requests(entry: dict[str, Any]) -> str:
    if not entry["requests"]:  # nothing was audited, or a line does not say with which probability
        return "-"
    error = f" ± {entry['requests_error']:,.0f}" if entry["requests_error"] else ""
    return f"{entry['requests']:,.0f}{error}"
