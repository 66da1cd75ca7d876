"""Which format an output has, by its name's ending, and whether it can be written here."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from ...errors import UsageError
from ...extras import how_to_install

_ENDINGS = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".parquet": "parquet",
    ".sqlite": "sqlite",
    ".sqlite3": "sqlite",
    ".db": "sqlite",
}


_NOT_WRITTEN = frozenset(
    {
        *(".arrow", ".avro", ".feather", ".html", ".ipc", ".json", ".orc", ".pickle", ".pq", ".tab", ".tsv"),
        *(".xls", ".xlsx", ".xml", ".yaml", ".yml", ".bz2", ".gz", ".xz", ".zip", ".zst"),
    }
)
"""Endings of formats that are not written here. JSON lines under such a name would mislead whoever opens it."""


def table_format(out: Path, *, otherwise: str | None = None) -> str:
    """`"jsonl"`, `"csv"`, `"parquet"` or `"sqlite"`, by the ending of `out`.

    Another ending is `otherwise`; where that is None, or the ending is that of a format that is not written here, it
    raises UsageError, which lists the endings.
    """
    ending = out.suffix.lower()
    format_ = _ENDINGS.get(ending, otherwise)
    if format_ is None or ending in _NOT_WRITTEN:
        raise UsageError(f"--out {out}: its ending says which format it is to have; use one of {', '.join(_ENDINGS)}")
    return format_


def require(format: str) -> None:  # noqa: A002  # the word that all callers have for it
    """Raises UsageError, naming the extra to install, if `format` cannot be written here."""
    if format == "parquet" and importlib.util.find_spec("pyarrow") is None:
        raise UsageError(f"an output in Parquet needs pyarrow: {how_to_install('parquet')}")
    if format == "sqlite" and importlib.util.find_spec("_sqlite3") is None:
        raise UsageError("an output in SQLite needs a Python that was built with sqlite3; this one was not")
