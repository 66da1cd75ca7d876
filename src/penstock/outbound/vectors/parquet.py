"""Parquet files: one column of lists (or lists of fixed size) of numbers, one list a row.

Memory depends on the file here: a column chunk is decoded page by page, but the chunks of one row group are
the least that Parquet lets a reader open. Files with row groups of some 10,000 rows stay small.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any

from ...errors import InputError, UsageError
from ...extras import how_to_install
from .numeric import Array, np
from .raw import open_binary

_BATCH_ROWS = 4096
_ITEMS = {"float": "float32", "double": "float32", "halffloat": "float32", "uint8": "uint8", "int8": "int8"}


class ParquetRows:
    """Rows of one column, read forward batch by batch; going back opens the row group again."""

    def __init__(self, path: Path, column: str | None, dim: int | None) -> None:
        try:
            import pyarrow as pa
            import pyarrow.parquet as parquet
        except ImportError as missing:
            raise UsageError(f"{path}: Parquet needs pyarrow: {how_to_install('parquet')}") from missing
        self.file = open_binary(path)
        try:
            self._file: Any = parquet.ParquetFile(self.file)
        except (OSError, pa.ArrowException) as error:
            self.file.close()
            raise InputError(f"cannot be read as Parquet: {str(error).splitlines()[0]}", path=str(path)) from error
        self._arrow_error: Any = pa.ArrowException
        self._path = path
        try:
            self._open(column, dim)
        except BaseException:
            self.close()
            raise

    def _open(self, column: str | None, dim: int | None) -> None:
        schema = self._file.schema_arrow
        self._column, kind = _choose(schema, self._path, column)
        metadata = self._file.metadata
        sizes = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
        self._starts = [0, *accumulate(sizes)]
        self.count = self._starts[-1]
        self.dtype: np.dtype[np.generic] = np.dtype(_ITEMS[str(kind.value_type)])
        self.format, self.layout = "parquet", f"column {self._column!r} of {kind}"
        self._batches: Iterator[Any] = iter(())
        self._batch: Array = np.empty((0, 0), self.dtype)
        self._batch_start = 0
        self.dim = 0
        if self.count:
            self._seek(0)
            self.dim = self._batch.shape[1]
        if dim is not None and self.count and self.dim != dim:
            raise InputError(f"--dim {dim} was given, but column {self._column!r} has {self.dim}", path=str(self._path))
        self._block: Array = np.empty((0, self.dim), self.dtype)

    def load(self, start: int, count: int) -> Array:
        """Rows of the column, across the batches they lie in."""
        if len(self._block) < count:
            self._block = np.empty((count, self.dim), self.dtype)
        filled = 0
        while filled < count:
            self._seek(start + filled)
            first = start + filled - self._batch_start
            part = self._batch[first : first + count - filled]
            self._block[filled : filled + len(part)] = part
            filled += len(part)
        return self._block[:count]

    def close(self) -> None:
        """Close the file; again does nothing."""
        self._batches = iter(())
        self._file.close()
        self.file.close()

    def _seek(self, row: int) -> None:
        """Make the batch that holds `row` the current one."""
        group = bisect_right(self._starts, row) - 1
        ahead = self._batch_start + len(self._batch)
        # Reading on is cheaper than opening a row group, unless the row is behind or in a later group.
        if len(self._batch) == 0 or row < self._batch_start or self._starts[group] > ahead:
            self._batches = self._iterate(group)
            self._batch_start, self._batch = self._starts[group], self._batch[:0]
        while row >= self._batch_start + len(self._batch):
            self._batch_start += len(self._batch)
            self._batch = self._take()

    def _iterate(self, group: int) -> Iterator[Any]:
        groups = range(group, len(self._starts) - 1)
        batches: Iterator[Any] = self._file.iter_batches(
            batch_size=_BATCH_ROWS, row_groups=groups, columns=[self._column], use_threads=False
        )
        return batches

    def _take(self) -> Array:
        try:
            lists = next(self._batches).column(0)
        except StopIteration:
            raise InputError(f"ends before vector {self._batch_start}", path=str(self._path)) from None
        except (OSError, self._arrow_error) as error:
            raise InputError(
                f"cannot be read after vector {self._batch_start}: {str(error).splitlines()[0]}",
                path=str(self._path),
            ) from error
        self._check_lists(lists)
        values = lists.flatten().to_numpy(zero_copy_only=False)
        with np.errstate(over="ignore", invalid="ignore"):
            batch: Array = values.reshape(len(lists), -1).astype(self.dtype, copy=False)
        return batch

    def _check_lists(self, lists: Any) -> None:
        """Raise InputError for the first row that is null, holds a null, or has another length than row 0."""
        lengths = lists.value_lengths()
        wanted = self.dim or lengths[0].as_py()
        values = lengths.to_numpy(zero_copy_only=False)
        if lists.null_count == 0 and wanted and (values == wanted).all() and lists.flatten().null_count == 0:
            return
        for row, vector in enumerate(lists):
            numbers = vector.as_py()
            if numbers is None or None in numbers or not numbers or len(numbers) != wanted:
                what = "is null" if numbers is None else f"has {len(numbers)} components, wanted are {wanted}"
                what = "holds a null" if numbers and None in numbers else what
                raise InputError(f"vector {self._batch_start + row} (0-based) {what}", path=str(self._path))


def _choose(schema: Any, path: Path, column: str | None) -> tuple[str, Any]:
    """The column's name and type. Raises InputError that lists the columns that would do."""
    fits = {field.name: field.type for field in schema if str(getattr(field.type, "value_type", "")) in _ITEMS}
    names = ", ".join(fits) or "none"
    if column is None and len(fits) == 1:
        column = next(iter(fits))
    if column is None:
        raise InputError(f"give the column with --column NAME; columns of lists of numbers: {names}", path=str(path))
    if column not in fits:
        raise InputError(f"no column {column!r} of lists of numbers; there are: {names}", path=str(path))
    return column, fits[column]
