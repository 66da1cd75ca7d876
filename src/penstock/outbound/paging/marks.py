"""One mark of 32 bytes per settled page: enough to know a page, or a token, when it comes again after a restart."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ...errors import RunRefused
from ...rules.pagination.extent import PageKind
from ...runs.storage import AppendFile, Storage

_MARK = struct.Struct("<QQQIB3x")
_BLOCK = 1 << 12


class PageMark(NamedTuple):
    """What is kept of a page. `digest` is of its rows, `token` of what it was asked for with; 0 for none."""

    number: int
    digest: int
    token: int
    rows: int
    kind: PageKind

    def pack(self) -> bytes:
        """The mark as bytes."""
        return _MARK.pack(self.number, self.digest, self.token, self.rows, self.kind)


class MarkFile:
    """The marks of all pages that are committed, in the order of their commits."""

    def __init__(self, storage: Storage, path: Path, count: int) -> None:
        """Open it and cut off what is beyond the first `count` marks. Raises RunRefused if there are fewer."""
        self._file: AppendFile = storage.open(path)
        size = count * _MARK.size
        if self._file.size() < size:
            self._file.close()
            raise RunRefused(f"{path} was changed since the last commit; put it back, or use --fresh to start afresh")
        self._file.truncate(size)

    def __iter__(self) -> Iterator[PageMark]:
        size = self._file.size()
        for offset in range(0, size, _BLOCK * _MARK.size):
            block = self._file.read(offset, min(_BLOCK * _MARK.size, size - offset))
            for number, digest, token, rows, kind in _MARK.iter_unpack(block):
                yield PageMark(number, digest, token, rows, PageKind(kind))

    def append(self, marks: bytes | bytearray) -> None:
        """Add marks. Durable on return; blocks."""
        if marks:
            self._file.append(marks)
            self._file.sync()

    def close(self) -> None:
        """Let the file go."""
        self._file.close()
