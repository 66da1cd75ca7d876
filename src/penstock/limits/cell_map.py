"""Numbers in a shared memory map: a store of 8 bytes is all it takes, and a killed process leaves them all behind.

CLOCK_MONOTONIC is the same for all processes of one boot, so times mean the same to the next one. After a reboot they
do not; `CellFile.made_by` says what they are then.
"""

from __future__ import annotations

import mmap
import os
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ..clock import Clock
from ..errors import StorageError
from .shared_log import boot_id

_HEADER = 64
_REBOOT_SLACK_SECONDS = 60.0


class CellMap:
    """`cells` in a new file at `path`, which replaces what was there. Raises StorageError where that cannot be."""

    def __init__(self, path: Path, cells: Sequence[float]) -> None:
        data = boot_id().ljust(_HEADER, b"\0")[:_HEADER] + array("d", cells).tobytes()
        # In another file first: a process that is killed half-way must leave the old one whole.
        part = path.with_suffix(".part")
        try:
            with part.open("wb+") as file:
                file.write(data)
                file.flush()
                # Without its blocks, a store into the map on a full disk would kill the process (SIGBUS).
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(file.fileno(), 0, len(data))
                self._mapped = mmap.mmap(file.fileno(), len(data))
            part.replace(path)
        except OSError as error:
            raise StorageError(f"cannot keep the limit's log in {path}: {error.strerror or error}") from error
        whole = memoryview(self._mapped)
        self.cells: memoryview[float] = whole[_HEADER:].cast("d")
        whole.release()

    def close(self) -> None:
        """Let the map go; the cells must not be used afterwards."""
        self.cells.release()
        self._mapped.close()


class CellFile(NamedTuple):
    """What a process before this one has left."""

    cells: list[float]
    made_by: float | None
    """None where its times are those of our clock; otherwise when, on it, the last one was made at the latest."""


def read_cells(path: Path, clock: Clock) -> CellFile:
    """The cells of the file at `path`; of a damaged one, what is whole."""
    data = path.read_bytes()
    whole = max(0, len(data) - _HEADER) // 8 * 8
    cells: list[float] = array("d", data[_HEADER : _HEADER + whole]).tolist()
    if data[:_HEADER].rstrip(b"\0") == boot_id():
        return CellFile(cells, None)
    ago = clock.wall() - (path.stat().st_mtime + _REBOOT_SLACK_SECONDS)
    return CellFile(cells, clock.now() - max(0.0, ago))
