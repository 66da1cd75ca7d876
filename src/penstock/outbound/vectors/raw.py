"""Formats whose rows all have the same number of bytes: raw, .npy, .fvecs and the big-ann .fbin family.

Layouts (public descriptions: numpy.lib.format for .npy; corpus-texmex.irisa.fr for .fvecs and .bvecs;
big-ann-benchmarks for .fbin, .u8bin and .i8bin):
- raw: rows only, little-endian
- npy: magic, version, header as a Python literal, then rows in C order
- fvecs, bvecs: every row begins with its dimension as int32
- fbin, u8bin, i8bin: uint32 count, uint32 dimension, then rows
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ...errors import InputError
from ..checked_file import CheckedFile
from .numeric import Array, np

RAW_ITEMS = ("float32", "float64", "float16", "uint8", "int8")
"""Item types that a raw or .npy file may have; the wider and narrower floats are converted to float32."""

XBIN_ITEMS = {"fbin": "<f4", "u8bin": "u1", "i8bin": "i1"}
VECS_ITEMS = {"fvecs": "<f4", "bvecs": "u1"}

_DROP_BYTES = 8 * 1024 * 1024
"""The kernel is told to forget what was read in steps of this size: a call for each block would be waste."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the rows are: `skip` bytes, then `count` rows of `prefix` + dim items each."""

    format: str
    count: int
    dim: int
    item: str
    """A numpy type string with byte order, such as `<f4`."""
    skip: int = 0
    prefix: int = 0
    """Bytes before each row: 4 where a row begins with its dimension."""

    @property
    def row_bytes(self) -> int:
        """Bytes from one row to the next."""
        return self.prefix + self.dim * np.dtype(self.item).itemsize

    def describe(self) -> str:
        """For a person."""
        head = f"{self.skip} bytes of header, then " if self.skip else ""
        row = "rows that begin with their dimension" if self.prefix else "rows"
        return f"{head}{row} of {self.row_bytes} bytes" + ("" if self.skip else ", no header")


class FixedRows:
    """Rows of equal size, read with readinto into one buffer that grows to the largest block asked for."""

    def __init__(self, path: Path, layout: Layout) -> None:
        self.count, self.dim, self.format = layout.count, layout.dim, layout.format
        self.layout = layout.describe()
        self._path, self._plan = path, layout
        self._item = np.dtype(layout.item)
        self.dtype: np.dtype[np.generic] = np.dtype("float32") if self._item.kind == "f" else self._item
        self._direct = layout.prefix == 0 and self._item == self.dtype
        self._bytes: Array = np.empty(0, np.uint8)
        self._block: Array = np.empty((0, layout.dim), self.dtype)
        self.file = open_binary(path)
        self._next = self._kept = layout.skip
        _advise(self.file.fileno(), 0, 0, "POSIX_FADV_SEQUENTIAL")

    def load(self, start: int, count: int) -> Array:
        """Rows of the file, in the type they are kept in or as float32."""
        raw = self._read_bytes(start, count)
        if self._direct:
            block: Array = raw.view(self._item).reshape(count, self.dim)
            return block
        if count == 0:
            return self._block[:0]
        rows = raw.reshape(count, self._plan.row_bytes)
        if self._plan.prefix:
            self._check_dims(rows, start)
        items = np.ndarray(
            (count, self.dim),
            self._item,
            rows,
            self._plan.prefix,
            (self._plan.row_bytes, self._item.itemsize),
        )
        if len(self._block) < count:
            self._block = np.empty((count, self.dim), self.dtype)
        # float64 beyond the range of float32 becomes infinity, which the source then reports.
        with np.errstate(over="ignore", invalid="ignore"):
            self._block[:count] = items
        return self._block[:count]

    def close(self) -> None:
        """Close the file; again does nothing."""
        self.file.close()

    def _read_bytes(self, start: int, count: int) -> Array:
        size = count * self._plan.row_bytes
        if len(self._bytes) < size:
            self._bytes = np.empty(size, np.uint8)
        raw = self._bytes[:size]
        offset = self._plan.skip + start * self._plan.row_bytes
        view, done = memoryview(raw.data), 0
        try:
            self.file.seek(offset)
            while done < size:
                got = self.file.readinto(view[done:])
                if not got:
                    raise InputError(f"ends within vector {start + done // self._plan.row_bytes}", path=str(self._path))
                done += got
        except OSError as error:
            raise InputError(f"cannot be read at byte {offset}: {error.strerror}", path=str(self._path)) from error
        self._forget(offset, offset + size)
        return raw

    def _forget(self, offset: int, end: int) -> None:
        # Only behind a reader that goes straight on: one that jumps about comes back.
        if offset != self._next:
            self._kept = offset
        elif end - self._kept >= _DROP_BYTES:
            _advise(self.file.fileno(), self._kept, end - self._kept, "POSIX_FADV_DONTNEED")
            self._kept = end
        self._next = end

    def _check_dims(self, rows: Array, start: int) -> None:
        dims = np.ndarray((len(rows),), "<i4", rows, 0, (self._plan.row_bytes,))
        wrong = np.flatnonzero(dims != self.dim)
        if len(wrong):
            row = int(wrong[0])
            raise InputError(
                f"vector {start + row} (0-based) says dimension {int(dims[row])}, the first said {self.dim}: "
                f"the file is damaged or not {self.format}",
                path=str(self._path),
            )


def open_binary(path: Path) -> CheckedFile:
    """The file, unbuffered, and unchecked until it is given digests.

    Raises InputError that says what is wrong: missing, a directory, not readable.
    """
    if path.is_dir():
        raise InputError("is a directory; give a file of vectors", path=str(path))
    try:
        return CheckedFile(path)
    except FileNotFoundError as error:
        raise InputError("no such file", path=str(path)) from error
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", path=str(path)) from error


def _advise(descriptor: int, offset: int, length: int, advice: str) -> None:
    # Missing on macOS and Windows, and refused for pipes: advice is only advice.
    if hasattr(os, "posix_fadvise"):
        try:
            os.posix_fadvise(descriptor, offset, length, getattr(os, advice))
        except OSError:
            return
