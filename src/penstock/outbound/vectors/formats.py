"""Open a file of vectors, whatever its format."""

from __future__ import annotations

import os
from pathlib import Path

from ...errors import UsageError
from .detect import FORMATS, Asked, detect
from .raw import FixedRows, Layout, open_binary
from .source import VectorRows, VectorSource

__all__ = ["FORMATS", "open_vectors"]


def open_vectors(
    path: str | os.PathLike[str],
    *,
    format: str | None = None,  # noqa: A002 - the option is called --format
    dim: int | None = None,
    dtype: str = "float32",
    column: str | None = None,
) -> VectorSource:
    """The vectors of `path`, which the caller closes.

    `format` is one of FORMATS, found by content and extension where not given. `dim` is needed for raw files
    and checked for the others; `dtype` is the item type of raw files. `column` names the column of a Parquet
    file or the dataset of an HDF5 file. float64 and float16 are converted to float32; integers stay integers.

    Raises InputError, which names the file and says what to do, and UsageError for options that make no sense
    or a missing extra.
    """
    file_path = Path(path)
    asked = Asked(format, dim, dtype)
    with open_binary(file_path) as file:
        found = detect(file, file_path, asked)
    if column is not None and isinstance(found, Layout):
        raise UsageError(f"{file_path}: a column or dataset only makes sense for Parquet and HDF5, not {found.format}")
    return VectorSource(file_path, _rows(file_path, found, asked, column))


def _rows(path: Path, found: Layout | str, asked: Asked, column: str | None) -> VectorRows:
    if isinstance(found, Layout):
        return FixedRows(path, found)
    if found == "parquet":
        from .parquet import ParquetRows

        return ParquetRows(path, column, asked.dim)
    from .hdf5 import Hdf5Rows

    return Hdf5Rows(path, column, asked.dim)
