"""Markdown tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmarks.summary import Summary


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Cells padded to their column; numbers to the right."""
    cells = [list(header), *map(list, rows)]
    widths = [max(3, *(len(row[i]) for row in cells)) for i in range(len(header))]
    numbers = [all(row[i][:1] in "0123456789-" for row in cells[1:]) for i in range(len(header))]

    def line(row: Sequence[str]) -> str:
        padded = (c.rjust(w) if number else c.ljust(w) for c, w, number in zip(row, widths, numbers, strict=True))
        return f"| {' | '.join(padded)} |"

    rule = ("-" * (w - 1) + ":" if number else "-" * w for w, number in zip(widths, numbers, strict=True))
    return "\n".join([line(cells[0]), f"| {' | '.join(rule)} |", *map(line, cells[1:])])


def compare_table(summaries: Iterable[Summary]) -> str:
    header = (
        "data",
        "n",
        "target",
        "system",
        "splits",
        "coverage on the future",
        "parity on the future",
        "violations of certified",
        "none",
        "fit s (median)",
        "peak MB",
    )
    return markdown(
        header,
        (
            (
                s.data,
                f"{s.n:,}",
                f"{s.target:.2f}",
                s.title,
                str(s.splits),
                f"{s.coverage:.3f}",
                "-" if s.parity is None else f"{s.parity:.3f}",
                f"{s.violations}/{s.certified}",
                f"{s.none_rate:.0%}",
                f"{s.seconds:.1f}",
                f"{s.peak_mb:.0f}",
            )
            for s in summaries
        ),
    )


def validity_table(summaries: Iterable[Summary]) -> str:
    header = (
        "data",
        "n",
        "target",
        "system",
        "future rows",
        "certified",
        "violations",
        "share",
        "limit",
        "beyond 2 s.e.",
        "verdict",
    )
    return markdown(
        header,
        (
            (
                s.data,
                f"{s.n:,}",
                f"{s.target:.2f}",
                s.title,
                f"{s.future:,}",
                f"{s.certified}/{s.splits}",
                f"{s.violations}/{s.splits}",
                f"{s.violation_rate:.3f}",
                f"{s.limit:.3f}",
                str(s.clear_violations),
                "ok" if s.valid else "FAIL",
            )
            for s in summaries
        ),
    )
