"""HDF5 files, such as those of ann-benchmarks (`train`, `test`): one two-dimensional dataset of numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...errors import InputError, UsageError
from ...extras import how_to_install
from .numeric import Array, np
from .raw import RAW_ITEMS, open_binary

_STANDARD = "train"
"""The stored vectors of an ann-benchmarks file; `test` holds queries that are not in the index."""


class Hdf5Rows:
    """Rows of one dataset, read straight into one buffer."""

    def __init__(self, path: Path, dataset: str | None, dim: int | None) -> None:
        try:
            import h5py
        except ImportError as missing:
            raise UsageError(f"{path}: HDF5 needs h5py: {how_to_install('hdf5')}") from missing
        self.file = open_binary(path)
        try:
            self._file = h5py.File(self.file, "r")
        except OSError as error:
            self.file.close()
            raise InputError(f"cannot be read as HDF5: {str(error).splitlines()[0]}", path=str(path)) from error
        try:
            self._data = _choose(self._file, path, dataset, dim, h5py.Dataset)
        except BaseException:
            self.close()
            raise
        self._path = path
        self.count, self.dim = (int(n) for n in self._data.shape)
        kind = self._data.dtype.kind
        self.dtype: np.dtype[np.generic] = np.dtype("float32") if kind == "f" else self._data.dtype
        self.format = "hdf5"
        self.layout = f"dataset {self._data.name.lstrip('/')!r} of {self._data.dtype}"
        self._block: Array = np.empty((0, self.dim), self.dtype)

    def load(self, start: int, count: int) -> Array:
        """Rows of the dataset, converted by HDF5 while it reads."""
        if len(self._block) < count:
            self._block = np.empty((count, self.dim), self.dtype)
        block = self._block[:count]
        if count == 0:
            return block
        try:
            # HDF5 converts to the type of the buffer while it reads.
            self._data.read_direct(block, np.s_[start : start + count])
        except OSError as error:
            raise InputError(
                f"cannot be read at vector {start}: {str(error).splitlines()[0]}", path=str(self._path)
            ) from error
        return block

    def close(self) -> None:
        """Close the file; again does nothing."""
        self._file.close()
        self.file.close()


def _choose(file: Any, path: Path, name: str | None, dim: int | None, dataset_type: type) -> Any:
    found: dict[str, Any] = {}
    file.visititems(lambda key, node: found.update({key: node}) if _fits(node, dataset_type) else None)
    names = ", ".join(sorted(found)) or "none"
    if name is None:
        name = _STANDARD if _STANDARD in found else next(iter(found)) if len(found) == 1 else None
        if name is None:
            raise InputError(
                f"give the dataset with --column NAME; two-dimensional ones of numbers: {names}",
                path=str(path),
            )
    data = found.get(name.strip("/"))
    if data is None:
        raise InputError(f"no dataset {name!r} with vectors; two-dimensional ones of numbers: {names}", path=str(path))
    if dim is not None and data.shape[1] != dim:
        raise InputError(f"--dim {dim} was given, but dataset {name!r} has {data.shape[1]}", path=str(path))
    return data


def _fits(node: object, dataset_type: type) -> bool:
    if not isinstance(node, dataset_type):
        return False
    shape, item = getattr(node, "shape", ()), getattr(node, "dtype", None)
    return len(shape or ()) == 2 and item is not None and item.newbyteorder("=").name in RAW_ITEMS
