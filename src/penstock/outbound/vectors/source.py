"""Vectors read from a file, block by block, through one buffer that is used again and again.

A memory map would be shorter, but the pages it touches count as resident memory: a run over 5 GB then looks
like (and in a container is) a process of 5 GB. Reading 205 MB this way adds 4 MB, mapped it adds 205 MB.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Protocol

from ...errors import InputError
from ..checked_file import CheckedFile, Digests
from .numeric import Array, np

SAMPLED_BLOCKS = 64
SAMPLED_BYTES = 65_536
"""The fingerprint reads 64 blocks of 64 KiB: 4 MiB, whatever the size of the file."""

MAX_ROWS = 2**32 - 2
"""Row numbers are kept in 32 bits in the scoreboard; the last one is taken for "none"."""


class VectorRows(Protocol):
    """One family of formats: knows where rows are, checks nothing about their values."""

    count: int
    dim: int
    dtype: np.dtype[np.generic]
    """What `load` yields: float32, uint8 or int8."""
    format: str
    layout: str
    """How the file is laid out, for a person."""
    file: CheckedFile
    """Through which all is read."""

    def load(self, start: int, count: int) -> Array:
        """Rows start .. start + count - 1 as a C-contiguous (count, dim) array, valid until the next call."""

    def close(self) -> None:
        """Close the file; again does nothing."""


class VectorSource:
    """`count` vectors of `dim` numbers each. Not safe for use by two threads at once."""

    def __init__(self, path: Path, rows: VectorRows) -> None:
        if rows.count < 1:
            rows.close()
            raise InputError("holds no vectors", path=str(path))
        if rows.dim < 1:
            rows.close()
            raise InputError("its vectors have no components (dimension 0)", path=str(path))
        if rows.count > MAX_ROWS:
            rows.close()
            raise InputError(f"holds {rows.count} vectors; at most {MAX_ROWS} are supported", path=str(path))
        self.path = path
        self.count = rows.count
        self.dim = rows.dim
        self.dtype = rows.dtype
        self.format = rows.format
        self._rows = rows

    def trust(self, digests: Digests) -> None:
        """From now on hold the file to `digests`, or where they are not complete, learn them."""
        self.digests = self._rows.file.digests = digests

    def read(self, start: int, count: int) -> Array:
        """Vectors start .. start + count - 1: a C-contiguous (count, dim) array of `dtype`.

        The array is a view of the one buffer: it is valid until the next read. Raises InputError for a vector
        with NaN or infinity, naming the first such row (0-based), and for a file that has become shorter.
        """
        block, good = self.read_with_mask(start, count)
        if good is not None:
            row = start + int(np.argmin(good))
            raise InputError(
                f"vector {row} (0-based) holds NaN or infinity; mend it, or skip such vectors "
                "with --on-bad-record skip",
                path=str(self.path),
            )
        return block

    def read_with_mask(self, start: int, count: int) -> tuple[Array, Array | None]:
        """As `read`, and a bool array, False for a vector with NaN or infinity; None if all are good."""
        block = self.read_unchecked(start, count)
        if block.dtype.kind != "f" or count == 0:
            return block, None
        # min and max carry NaN and infinity through and allocate nothing; a mask of every number would.
        with np.errstate(invalid="ignore"):
            if np.isfinite(block.min()) and np.isfinite(block.max()):
                return block, None
        good: Array = np.all(np.isfinite(block), axis=1)
        return block, good

    def read_unchecked(self, start: int, count: int) -> Array:
        """As `read`, without looking at the values."""
        # Offsets are Python ints throughout: start * 4 * dim in 32 bits overflows from row 4.2 million at 128
        # x 4.
        start, count = int(start), int(count)
        if not 0 <= start <= start + count <= self.count:
            raise IndexError(f"rows {start} to {start + count} of {self.count}")
        try:
            return self._rows.load(start, count)
        finally:
            if self._rows.file.refused is not None:
                # HDF5 makes an error of its own of it, which says less.
                raise self._rows.file.refused

    def describe(self) -> str:
        """One line for a person: `10,000,000 vectors of 128 float32 (raw: rows without a header)`."""
        return f"{self.count:,} vectors of {self.dim} {self.dtype} ({self.format}: {self._rows.layout})"

    def close(self) -> None:
        """Close the file; again does nothing."""
        self._rows.close()

    def __enter__(self) -> VectorSource:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<VectorSource {self.path.name}: {self.describe()}>"


def fingerprint(source: VectorSource) -> dict[str, str | int]:
    """What makes this input this input, as JSON values; equal for equal files wherever they lie.

    A sample and not a hash of all: 10 million vectors would take seconds at each start. What touches no sampled
    block is seen by the digests to which the source is held.
    """
    try:
        with source.path.open("rb", buffering=0) as file:
            size = file.seek(0, 2)
            digest = hashlib.sha256()
            last = max(0, size - SAMPLED_BYTES)
            for i in range(SAMPLED_BLOCKS):
                file.seek(last * i // (SAMPLED_BLOCKS - 1))
                digest.update(file.read(SAMPLED_BYTES) or b"")
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", path=str(source.path)) from error
    return {
        "size": size,
        "count": source.count,
        "dim": source.dim,
        "dtype": str(source.dtype),
        "format": source.format,
        "sampled_sha256": digest.hexdigest(),
    }
