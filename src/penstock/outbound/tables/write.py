"""Write one table: survey the rows, write them beside the output, sync, rename."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson

from ...errors import StorageError, UsageError
from ...runs.storage import DISK
from . import csv_file, parquet_file, sqlite_file
from .columns import Column, survey_columns
from .formats import require
from .spool import read_rows

_MOST_COLUMNS = {"csv": 10_000, "parquet": 5_000, "sqlite": sqlite_file.MOST_COLUMNS}
_WRITERS: dict[str, Callable[[Path, list[Column], Iterator[tuple[int, dict[str, Any]]], str], None]] = {
    "csv": csv_file.write,
    "parquet": parquet_file.write,
    "sqlite": sqlite_file.write,
}


@dataclass(frozen=True, slots=True)
class TableReport:
    """What a table holds: how many rows, and the type of each column by its name."""

    rows: int
    columns: dict[str, str]


def write_table(
    rows: Path,
    out: Path,
    format: str,  # noqa: A002  # the word that all callers have for it
    *,
    table: str = "rows",
    columns: Sequence[str] = (),
) -> TableReport:
    """Make the file `out` of the JSON lines in `rows`, whole or not at all; blocks.

    `columns` are names that come first, and are there also where no row has them; `table` is the name in a
    database. Memory is that of a few thousand rows. Raises UsageError for a format that cannot be written here,
    StorageError for more columns than the format can have, and where the disk fails: `rows` stays as it
    is, so that the same can be tried again.
    """
    part, report = _write_part(rows, out, format, table, columns)
    _put_in_place(part, out, format)
    return report


def finish_table(
    rows: Path,
    out: Path,
    format: str,  # noqa: A002
    *,
    marker: Path,
    table: str = "rows",
    columns: Sequence[str] = (),
) -> TableReport:
    """`write_table`, unless `out` was made of the very same `rows` before; `marker` is a file that remembers.

    So an output that its user has gone on working with is not replaced by the next start of a finished run.
    While `marker` is there, `out` is ours: an interruption before the rename leaves it, too.
    """
    made_of = _state_of(rows)
    kept = _read(marker)
    if out.exists() and kept.get("rows") == made_of and kept.get("in_place"):
        return TableReport(**kept["report"])
    part, report = _write_part(rows, out, format, table, columns)
    facts = {"rows": made_of, "report": asdict(report)}
    DISK.write_new(marker, orjson.dumps(facts | {"in_place": False}))
    _put_in_place(part, out, format)
    DISK.write_new(marker, orjson.dumps(facts | {"in_place": True}))
    return report


def _write_part(rows: Path, out: Path, format_: str, table: str, known: Sequence[str]) -> tuple[Path, TableReport]:
    writer = _WRITERS.get(format_)
    if writer is None:
        raise UsageError(f"{format_!r} is not a format of tables; there are {', '.join(_WRITERS)}")
    require(format_)
    most = _MOST_COLUMNS[format_]
    counted = _Counted()
    columns = survey_columns(counted.of(read_rows(rows)), known, most, _too_many(rows, out, format_, most))
    columns = sqlite_file.legal(columns) if format_ == "sqlite" else columns
    part = out.with_name(out.name + ".part")
    try:
        part.unlink(missing_ok=True)
        writer(part, columns, read_rows(rows), table)
    except OSError as error:
        _remove(part)
        raise StorageError(f"writing {out}: {error.strerror or error}; {_again(rows)}") from error
    except StorageError as error:
        _remove(part)
        raise StorageError(f"writing {out}: {error}; {_again(rows)}") from error
    return part, TableReport(counted.rows, {column.name: column.type for column in columns})


def _put_in_place(part: Path, out: Path, format_: str) -> None:
    file = DISK.open(part)
    try:
        file.sync()
    finally:
        file.close()
    if format_ == "sqlite":
        # What a reader of the database before left beside it must not be taken for the log of the new one.
        for ending in ("-journal", "-wal", "-shm"):
            _remove(out.with_name(out.name + ending))
    DISK.replace(part, out)


def _too_many(rows: Path, out: Path, format_: str, most: int) -> str:
    other = ", or parquet" if format_ == "sqlite" else ""
    return (
        f"{out} would have more than {most:,} columns, the most for {format_}; the rows are whole in {rows}, one JSON "
        f"object a line: use them as they are (jsonl{other} has room for them), or extract fewer fields"
    )


def _again(rows: Path) -> str:
    return f"the rows are safe in {rows}, and the same command tries again"


def _state_of(rows: Path) -> list[int]:
    try:
        facts = rows.stat()
    except OSError as error:
        raise StorageError(f"reading {rows}: {error.strerror or error}") from error
    return [facts.st_size, facts.st_mtime_ns]


def _read(marker: Path) -> dict[str, Any]:
    try:
        kept = orjson.loads(marker.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        # None yet, or one that says nothing: the table is made anew, which costs time and nothing else.
        return {}
    return kept if isinstance(kept, dict) else {}


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


class _Counted:
    """Passes rows on without their sizes, and counts them."""

    def __init__(self) -> None:
        self.rows = 0

    def of(self, rows: Iterator[tuple[int, dict[str, Any]]]) -> Iterator[dict[str, Any]]:
        for _, row in rows:
            self.rows += 1
            yield row
