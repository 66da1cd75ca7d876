"""Parquet: row groups of bounded size, compressed with zstd.

Memory is that of a row group, and of the footer: Parquet notes every column of every group there, so for thousands
of columns it grows with the rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .columns import Column, Convert, converters

_BATCH_ROWS = 4_096
_BATCH_BYTES = 4 << 20
"""Of JSON. A batch is held as Python objects, some five times that; a row group only as what Arrow makes of it."""
_BATCH_CELLS = 1_000_000
_GROUP_ROWS = 65_536
_GROUP_BYTES = 32 << 20
_GROUP_COLUMN_BYTES = 16 << 10
"""A group is larger where there are many columns: each group costs some 1 KB a column until the file is closed."""


def write(path: Path, columns: list[Column], rows: Iterator[tuple[int, dict[str, Any]]], table: str) -> None:
    """Write a new file `path`. Raises OSError. `table` is for formats that have names for tables."""
    del table
    import pyarrow as pa
    import pyarrow.parquet as parquet

    types = {
        "integer": pa.int64(),
        "real": pa.float64(),
        "boolean": pa.bool_(),
        "text": pa.string(),
        "json": pa.string(),
        "null": pa.null(),
    }
    schema = pa.schema([pa.field(column.name, types[column.type]) for column in columns])
    conversions = dict(converters(columns))
    # With the name of a file pyarrow removes it where closing fails, and hides what failed.
    with path.open("xb") as file, parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        most_bytes = max(_GROUP_BYTES, len(columns) * _GROUP_COLUMN_BYTES)
        group: list[Any] = []
        group_rows = group_bytes = 0
        for batch in _batches(rows, len(columns)):
            arrays = list(_arrays(pa, batch, schema, columns, conversions))
            group.append(pa.record_batch(arrays, schema=schema))
            group_rows, group_bytes = group_rows + len(batch), group_bytes + group[-1].nbytes
            if group_rows >= _GROUP_ROWS or group_bytes >= most_bytes:
                writer.write_table(pa.Table.from_batches(group))
                group, group_rows, group_bytes = [], 0, 0
        if group:
            writer.write_table(pa.Table.from_batches(group))


def _arrays(
    pa: Any, batch: list[dict[str, Any]], schema: Any, columns: list[Column], conversions: dict[int, Convert]
) -> Iterator[Any]:
    for index, (column, field) in enumerate(zip(columns, schema, strict=True)):
        values = [row.get(column.key) for row in batch]
        if convert := conversions.get(index):
            values = [value if value is None else convert(value) for value in values]
        yield pa.array(values, field.type)


def _batches(rows: Iterator[tuple[int, dict[str, Any]]], columns: int) -> Iterator[list[dict[str, Any]]]:
    most = max(1, min(_BATCH_ROWS, _BATCH_CELLS // columns))
    batch: list[dict[str, Any]] = []
    size = 0
    for line_bytes, row in rows:
        batch.append(row)
        size += line_bytes
        if len(batch) >= most or size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
