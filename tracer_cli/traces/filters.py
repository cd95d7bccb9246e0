"""The `where` of a source: which of its records count.

A condition is asked of the row as it stands in the file. JSONL: the fields have the types that DuckDB finds in them,
objects are structs, text stays text. CSV: a column is BIGINT, DOUBLE, TIMESTAMP (in UTC), BOOLEAN or text, and an empty
cell is null. Parquet: the file's own types. Where a preset makes records out of rows, it is asked of the record, typed
as in JSONL.

Types come from the first BATCH_ROWS records. A field that turns up later counts from there on and is null before; an
integer column becomes DOUBLE with its first fraction; any other value that does not fit its type is null. A condition
that is null is not true, as in SQL. A field that is in none of the source's records is an error, at the end.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa

from tracer_cli.config.schema import TraceSource
from tracer_cli.errors import ConfigError
from tracer_cli.traces.columns import Fields, json_line, key_of
from tracer_cli.traces.conditions import ConditionError, connect, parse, sentence
from tracer_cli.traces.fields import shown_fields
from tracer_cli.traces.presets import Found
from tracer_cli.traces.read.files import TraceFile
from tracer_cli.traces.read.parquet import read_batches
from tracer_cli.traces.read.records import Record, header
from tracer_cli.traces.rejects import place

BATCH_ROWS = 2000
BATCH_BYTES = 16 << 20

_CSV_TYPE = """case
    when count({0}) = 0 then 'NULL'
    when count(try_cast({0} as bigint)) = count({0}) and bool_and(regexp_full_match({0}, ' *[+-]?[0-9]+ *'))
        then 'BIGINT'
    when count(try_cast({0} as double)) = count({0}) then 'DOUBLE'
    when count(try_cast({0} as timestamptz)) = count({0}) then 'TIMESTAMP'
    when count(*) filter (lower({0}) in ('true', 'false')) = count({0}) then 'BOOLEAN'
    else 'VARCHAR' end"""

Chosen = tuple[TraceFile, Record, bool]


class _Item(NamedTuple):
    """line: the record as JSON, where it is asked as such."""

    file: TraceFile
    record: Record
    line: bytes


class RowFilter:
    """The condition of one source; `number`: the source's place in tracer.yaml."""

    def __init__(self, source: TraceSource, number: int, expands: bool, scratch: Path) -> None:
        """Raises ConfigError for what is no condition. expands: as the preset says."""
        assert source.where is not None
        self._source = source
        self._key = f"traces[{number}].where"
        self._expands = expands
        self._scratch = scratch
        self._connection = connect()
        self._fields = Fields(())
        self._reading: tuple[TraceFile, Iterator[tuple[int, bool]]] | None = None
        self.seen = self.kept = 0
        try:
            self._condition = parse(self._connection, source.where)
        except ConditionError as error:
            raise self._error(str(error)) from None
        self._fields = Fields(self._condition.paths)

    def chosen(self, files: Sequence[TraceFile], found: Iterable[Found]) -> Iterator[Chosen]:
        """Each record, and whether it counts; one without fields does, because it is to be rejected.

        Records of `found` are read ahead, at most BATCH_ROWS of one file. Raises ConfigError.
        """
        if not self._expands and all(file.format != "jsonl" for file in files):
            for file in files:
                self._fields.add(dict.fromkeys(header(file, self._scratch) or [], "NULL"))
            self._require_fields()
        with contextlib.closing(self._connection):
            for batch in self._batches(found):
                answers = iter(self._answers([item for item in batch if item.record.fields is not None]))
                for file, record, _ in batch:
                    keep = True
                    if record.fields is not None:
                        keep = next(answers)
                        self.seen += 1
                        self.kept += keep
                    yield file, record, keep
        if self.seen:
            self._require_fields()

    @property
    def told(self) -> str:
        """Which condition it is, for people."""
        return f"{self._key} of {self._source.path} ({self._source.where})"

    # --- in batches -------------------------------------------------------------------------------

    def _batches(self, found: Iterable[Found]) -> Iterator[list[_Item]]:
        """Records of one file each, those without fields too; memory is bounded by BATCH_BYTES and one record."""
        batch: list[_Item] = []
        size = 0
        for file, record in found:
            if batch and (batch[0].file != file or len(batch) == BATCH_ROWS or size >= BATCH_BYTES):
                yield batch
                batch, size = [], 0
            line = b"" if record.fields is None or self._typed(file) else self._line(record)
            batch.append(_Item(file, record, line))
            size += len(line or record.raw or b"")
        if batch:
            yield batch

    def _typed(self, file: TraceFile) -> bool:
        """Whether the rows are asked as columns of the file's format, and not as JSON."""
        return file.format != "jsonl" and not self._expands

    def _line(self, record: Record) -> bytes:
        return json_line(record.fields or {}).encode() if self._expands or record.raw is None else record.raw

    def _answers(self, items: Sequence[_Item]) -> list[bool]:
        if not items:
            return []
        if not self._typed(items[0].file):
            return self._of_json(items)
        return self._of_csv(items) if items[0].file.format == "csv" else self._of_parquet(items)

    # --- each format ------------------------------------------------------------------------------

    def _of_json(self, items: Sequence[_Item]) -> list[bool]:
        lines = [item.line for item in items]
        try:
            self._learn(lines)
        except (duckdb.Error, RecursionError):  # what Python takes for JSON and DuckDB does not, such as "\ud83d"
            lines = [json_line(item.record.fields or {}).encode() for item in items]
            self._learn(lines)
        types = self._fields.selected()
        columns = [f"s.{_quoted(name)} as {_quoted(name)}" for name in types]
        structure = json.dumps(types).replace("'", "''")
        rows = f"(select from_json(line, '{structure}') as s from batch)" if types else "batch"
        return self._asked(columns, rows, _lines(lines), lambda i: place(items[i].file, items[i].record))

    def _learn(self, lines: Sequence[bytes]) -> None:
        self._connection.register("batch", _lines(lines))
        self._fields.add(json.loads(self._one("json_group_structure(line::json)")[0]))

    def _of_csv(self, items: Sequence[_Item]) -> list[bool]:
        rows = [item.record.fields or {} for item in items]
        wanted = [name for root in self._condition.roots if (name := key_of(rows[0], root)) is not None]
        arrays = [pa.array([row.get(name) or None for row in rows], pa.string()) for name in wanted]
        table = pa.Table.from_arrays(arrays, names=wanted) if wanted else _lines([b""] * len(rows))
        self._fields.add(dict.fromkeys(rows[0], "NULL"))
        if wanted:
            self._connection.register("batch", table)
            types = self._one(", ".join(_CSV_TYPE.format(_quoted(name)) for name in wanted))
            self._fields.add(dict(zip(wanted, types, strict=True)))
        columns = [_csv_column(name, type, name in wanted) for name, type in self._fields.selected().items()]
        return self._asked(columns, "batch", table, lambda i: place(items[i].file, items[i].record))

    def _of_parquet(self, items: Sequence[_Item]) -> list[bool]:
        file = items[0].file
        if self._reading is None or self._reading[0] != file:
            self._reading = file, self._parquet(file)
        answers: list[bool] = []
        for number, answer in self._reading[1]:
            if number == items[len(answers)].record.line:
                answers.append(answer)
                if len(answers) == len(items):
                    break
        return answers

    def _parquet(self, file: TraceFile) -> Iterator[tuple[int, bool]]:
        """The number and the answer of every row, from the file itself: its types are lost in the records."""
        names = header(file, self._scratch) or []
        wanted = [name for root in self._condition.roots if (name := key_of(names, root)) is not None]
        columns = [_quoted(name) for name in wanted]
        columns += [f"null as {_quoted(root)}" for root in self._condition.roots if key_of(names, root) is None]
        start = 1
        for batch in read_batches(file, wanted or names[:1], self._scratch):
            table, first = pa.Table.from_batches([batch]), start
            answers = self._asked(columns, "batch", table, lambda i, first=first: f"{file.name}, row {first + i}")  # type: ignore[misc]
            yield from enumerate(answers, start)
            start += len(answers)

    # --- DuckDB -----------------------------------------------------------------------------------

    def _one(self, selected: str) -> Sequence[Any]:
        (found,) = self._connection.execute(f"select {selected} from batch").fetchall()
        return found

    def _asked(self, columns: Sequence[str], rows: str, table: pa.Table, where: Callable[[int], str]) -> list[bool]:
        """The condition's answer for each row of `table`. where: the place of a row, for an error."""
        inner = f"(select {', '.join(columns)} from {rows})" if columns else rows
        # In the select list and not after `where`, there every part is computed for every row: an error cannot depend
        # on the order in which DuckDB likes to try them.
        query = f"select {self._condition.sql()} from {inner}"
        try:
            answers = self._run(query, table)
        except duckdb.Error as error:
            raise self._error(f"{self._culprit(query, table, where, error)}{sentence(error)}") from None
        for answer in answers:
            if answer is not None and not isinstance(answer, bool):
                raise self._error(f"it is {str(answer)[:60]!r} for a row, neither true nor false")
        return [answer is True for answer in answers]

    def _run(self, query: str, table: pa.Table) -> list[Any]:
        self._connection.register("batch", table)
        return [answer for (answer,) in self._connection.execute(query).fetchall()]

    def _culprit(self, query: str, table: pa.Table, where: Callable[[int], str], error: duckdb.Error) -> str:
        """The place of the first row for which it fails, unless it fails without any."""
        if isinstance(error, duckdb.DataError | duckdb.InvalidInputException):
            for i in range(table.num_rows):
                try:
                    self._run(query, table.slice(i, 1))
                except duckdb.Error:
                    return f"{where(i)}: "
        return ""

    # --- errors -----------------------------------------------------------------------------------

    def _require_fields(self) -> None:
        missing = self._fields.missing()
        if missing:
            path = ".".join(step for step in missing[0] if step is not None)
            nearest = get_close_matches(path, self._fields.names, n=1, cutoff=0.6)
            near = f" (did you mean {nearest[0]!r}?)" if nearest else ""
            raise self._error(f"no row has a field {path!r}{near}")

    def _error(self, what: str) -> ConfigError:
        names = self._fields.names
        known = f"; {shown_fields(names)}" if names else ""
        return ConfigError(f"{self.told}: {what}{known}")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _lines(lines: Sequence[bytes]) -> pa.Table:
    return pa.table({"line": pa.array(lines, pa.binary()).cast(pa.string())})


def _csv_column(name: str, type: Any, present: bool) -> str:
    column = _quoted(name)
    if not present or type == "NULL" or not isinstance(type, str):
        return f"null as {column}"
    if type == "TIMESTAMP":  # by way of the zone: a plain cast drops it
        return f"try_cast({column} as timestamptz)::timestamp as {column}"
    return column if type == "VARCHAR" else f"try_cast({column} as {type}) as {column}"
