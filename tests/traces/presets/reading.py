"""What becomes of every line of a source: read by its preset, then made into a row, as `collect` does it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from tracer_cli.config.schema import TraceSource
from tracer_cli.traces.calls import Call, NoCallError, UnusableError
from tracer_cli.traces.presets import preset_of
from tracer_cli.traces.read.files import find_files
from tracer_cli.traces.rows import Row, RowMaker

FIXTURES = Path(__file__).parent / "fixtures"


class Outcome(NamedTuple):
    """place: `file:line`; exactly one of row, rejected (the reason) and skipped (what it is) is there."""

    place: str
    row: Row | None = None
    call: Call | None = None
    rejected: str | None = None
    skipped: str | None = None

    @property
    def short(self) -> Any:
        """(text, label), or the reason."""
        return (self.row.text, self.row.label) if self.row else self.rejected or f"skipped: {self.skipped}"


def outcomes(folder: Path, **source: Any) -> list[Outcome]:
    settings = TraceSource.model_validate(source)
    found: list[Outcome] = []
    with tempfile.TemporaryDirectory() as scratch:
        preset, maker = preset_of(settings, folder, Path(scratch)), RowMaker(settings, seed=0)
        for file, record in preset.read(find_files(folder, settings.path)):
            place = f"{file.name}:{record.line}"
            if record.fields is None:
                found.append(Outcome(place, rejected=record.problem))
                continue
            preset.note(record.fields)
            try:
                call = preset.call(file, record.fields)
                row = maker.row(call, preset.text_place, preset.label_place, file.format == "csv")
            except NoCallError as error:
                found.append(Outcome(place, skipped=str(error)))
            except UnusableError as error:
                found.append(Outcome(place, rejected=str(error)))
            else:
                found.append(Outcome(place, row, call) if row else Outcome(place, skipped="left out"))
        preset.finish()
    return found


def shorts(folder: Path, **source: Any) -> dict[str, Any]:
    """place -> (text, label) or the reason, for every line."""
    found = outcomes(folder, **source)
    assert len({one.place for one in found}) == len(found), "a line came twice"
    return {one.place: one.short for one in found}
