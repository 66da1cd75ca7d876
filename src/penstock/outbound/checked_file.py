"""An input that is read more than once, held to what it was when it was read first.

The first reading of a file keeps a checksum of each block of 64 KiB. Every later one checks a block before it hands
out any byte of it, on the very bytes that are handed out, so nothing is ever done with a block that was changed in
between, whoever reads it and whatever the format. What comes after the end that the file had at first is not read.

CRC-32 guards against accidents, not against somebody who forges their own input: a change goes unnoticed once in four
thousand million. It costs a fifth of BLAKE2b and half of SHA-256, and a survey that is slower by a half would be felt.
"""

from __future__ import annotations

import io
import os
import zlib
from array import array
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from ..errors import RunRefused
from ..runs.storage import Storage

BLOCK_BYTES = 64 << 10
_CHECKSUM = "I"


@dataclass(slots=True)
class Digests:
    """The checksum of each block of an input of `size` bytes, as far as it was read; it is read in order at first."""

    size: int
    blocks: array[int] = field(default_factory=lambda: array(_CHECKSUM))
    seen: tuple[int, ...] = ()
    """What the file system said of the file when all blocks were last known to be right."""
    touched: bool = False
    """Whether `seen` is another than the one that is kept."""

    @property
    def complete(self) -> bool:
        """Whether every block is known."""
        return len(self.blocks) == -(-self.size // BLOCK_BYTES)

    def agree(self, number: int, data: bytes) -> bool:
        """Whether block `number` is `data`. The first block that is not known yet is learnt."""
        if len(data) != min(BLOCK_BYTES, self.size - number * BLOCK_BYTES):
            return False
        checksum = zlib.crc32(data)
        if number == len(self.blocks):
            self.blocks.append(checksum)
        return number > len(self.blocks) or self.blocks[number] == checksum

    def finish(self, path: Path) -> None:
        """Learn the blocks that are not known yet. Raises RunRefused if the file was written to since `seen`."""
        with CheckedFile(path, self) as file:
            for number in range(len(self.blocks), -(-self.size // BLOCK_BYTES)):
                file.block(number)
        if self.seen and self.seen[:3] != look(path)[:3]:
            raise RunRefused(
                f"{path} was changed while it was read; start when nobody writes to it", differs=("input",)
            )

    def hold(self, path: Path) -> bool:
        """Whether `path` has the content it had. It is read only where the file system says that it was touched."""
        now = look(path)
        if now == self.seen:
            return True
        if now[1] != self.size:
            return False
        try:
            with CheckedFile(path, self) as file:
                for number in range(len(self.blocks)):
                    file.block(number)
        except RunRefused:
            return False
        self.seen, self.touched = now, True
        return True

    def save(self, storage: Storage, path: Path) -> None:
        """Keep them at `path`, durably."""
        blocks = self.blocks.tobytes()
        head = {"block": BLOCK_BYTES, "size": self.size, "seen": self.seen, "crc": zlib.crc32(blocks)}
        storage.write_new(path, orjson.dumps(head) + b"\n" + blocks)

    @classmethod
    def load(cls, path: Path) -> Digests | None:
        """Those kept at `path`; None where there are none. Raises RunRefused if they are damaged."""
        if not path.exists():
            return None
        head, _, data = path.read_bytes().partition(b"\n")
        blocks = array(_CHECKSUM)
        try:
            facts: dict[str, Any] = orjson.loads(head)
            blocks.frombytes(data)
            found = cls(facts["size"], blocks, tuple(facts["seen"]))
            good = facts["crc"] == zlib.crc32(data) and facts["block"] == BLOCK_BYTES and found.complete
        except (ValueError, KeyError, TypeError):
            good = False
        if not good:
            raise RunRefused(
                f"{path} is damaged; where the input is certainly what it was, remove that file and run the same "
                "command again, and it is made anew; --fresh starts afresh"
            )
        return found


def look(path: Path) -> tuple[int, ...]:
    """(inode, size, time of change, time of change of the inode): equal twice means that nobody wrote in between."""
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def changed(path: Path, known: Digests | None) -> dict[str, bool]:
    """What a fingerprint says more of an input that is not what `known` says, though its samples may be alike."""
    return {} if known is None or known.hold(path) else {"changed": True}


def know_again(known: Digests | None, path: Path, kept: Path, storage: Storage) -> Digests:
    """What the input of a run is held to, whose fingerprint was found right: `known`, which is kept at `kept`.

    A run that was begun before there were digests has none; from now on it has those of now.
    """
    if known is None:
        known = Digests(path.stat().st_size, seen=look(path))
        known.finish(path)
    elif not known.touched:
        return known
    known.save(storage, kept)
    return known


class CheckedFile(io.RawIOBase):
    """A file, unbuffered and read by the block; `digests` None reads unchecked, until there are some."""

    def __init__(self, path: Path, digests: Digests | None = None) -> None:
        super().__init__()
        self._path = path
        self._file = path.open("rb", buffering=0)
        self._position = 0
        self._held = (-1, b"")
        self.digests = digests
        self.refused: RunRefused | None = None
        """What a read raised: a library in between may make something else of it."""

    def block(self, number: int) -> bytes:
        """Block `number`. Raises RunRefused if it is not what it was."""
        digests, offset = self.digests, number * BLOCK_BYTES
        if digests is None:
            return os.pread(self._file.fileno(), BLOCK_BYTES, offset)
        if offset >= digests.size:
            return b""
        if self._held[0] != number:
            data = os.pread(self._file.fileno(), min(BLOCK_BYTES, digests.size - offset), offset)
            if not digests.agree(number, data):
                self.refused = _changed(self._path, offset, offset + BLOCK_BYTES)
                raise self.refused
            self._held = number, data
        return self._held[1]

    def readinto(self, target: Any) -> int:
        """Fill `target`, short only at the end of the file: a library that asks for bytes counts on all of them."""
        view, filled = memoryview(target).cast("B"), 0
        while filled < len(view):
            number, within = divmod(self._position, BLOCK_BYTES)
            part = memoryview(self.block(number))[within : within + len(view) - filled]
            if not part:
                break
            view[filled : filled + len(part)] = part
            filled += len(part)
            self._position += len(part)
        return filled

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As of any file."""
        if whence == os.SEEK_END:
            offset += os.fstat(self._file.fileno()).st_size if self.digests is None else self.digests.size
        self._position = offset + (self._position if whence == os.SEEK_CUR else 0)
        return self._position

    def tell(self) -> int:
        """As of any file."""
        return self._position

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def fileno(self) -> int:
        """Of the file itself, for advice to the kernel."""
        return self._file.fileno()

    def close(self) -> None:
        """Close the file; again does nothing."""
        # Python closes also what is left of one whose file could not be opened.
        if "_file" in self.__dict__:
            self._file.close()
        super().close()


def _changed(path: Path, first: int, end: int) -> RunRefused:
    return RunRefused(
        f"{path} was changed since this run read it first (somewhere in bytes {first:,} to {end:,}); what was done is "
        "kept; put the old content back to go on, or give another --out, or --fresh to start afresh",
        differs=("input",),
    )
