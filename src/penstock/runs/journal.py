"""The journal: what is committed, in one file of checksummed frames.

The first frame is a snapshot of all that was done before; every commit appends a frame with the positions it
finished, and how long the output file is with their records. A commit writes the output, syncs it, then writes the
frame and syncs that. So after a crash the last whole frame tells how much of the output counts: what is beyond is
cut off, and its items are not done. A record is in the output exactly once.

When the frames have grown past `COMPACT_BYTES` the journal is written anew as one snapshot and renamed into place,
so that opening it reads a bounded amount however long the run was.
"""

from __future__ import annotations

import struct
import zlib
from array import array
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from ..errors import RunRefused
from .done_set import DoneSet
from .storage import AppendFile, Storage

COMPACT_BYTES = 4 << 20

_HEAD = struct.Struct("<4sIII")
_SNAPSHOT = b"PNS1"
_COMMIT = b"PNC1"


@dataclass(slots=True)
class JournalState:
    """What is committed."""

    done: DoneSet = field(default_factory=DoneSet)
    output_size: int = 0
    tail_size: int = 0
    """Bytes of the last commit's records at the end of the output."""
    tail_crc: int = 0
    counters: dict[str, Any] = field(default_factory=dict)
    swap: str = ""
    """Name of a file that is to take the output's place (see `rewrite`)."""


class Journal:
    """Open with `Journal.open`; one writer at a time (the run folder's lock sees to that)."""

    def __init__(self, storage: Storage, path: Path, file: AppendFile, state: JournalState, snapshot_size: int) -> None:
        self._storage = storage
        self._path = path
        self._file = file
        self.state = state
        self._snapshot_size = snapshot_size
        """Bytes of the first frame: what is behind it is the growth."""

    @staticmethod
    def create(storage: Storage, path: Path) -> None:
        """Make a journal of nothing; it takes the place of an older one at once."""
        storage.write_new(path, _snapshot(JournalState()))

    @classmethod
    def open(cls, storage: Storage, path: Path) -> Journal:
        """Read what is committed; a torn frame at the end is cut off.

        Raises RunRefused if the first frame cannot be read, or one that others follow: a frame is written when the one
        before is durable, so that is no torn end, and to cut it off would make calls again that were made.
        """
        file = storage.open(path)
        state, good, snapshot_size = _replay(file)
        if state is None:
            file.close()
            raise RunRefused(f"{path} is damaged: its first frame cannot be read; --fresh starts afresh")
        if good < file.size():
            if _more_frames(file, good):
                file.close()
                raise RunRefused(
                    f"{path} is damaged: the frame at byte {good:,} cannot be read, and later ones can, so the disk or "
                    "a copy changed it; output and journal are left as they are, and nothing was called; put a copy "
                    "of the journal back, or keep the output somewhere else and start afresh with --fresh"
                )
            file.truncate(good)
        return cls(storage, path, file, state, snapshot_size)

    def commit(
        self,
        positions: array[int],
        failed: array[int],
        output_size: int,
        tail: bytes | bytearray,
        counters: dict[str, Any],
    ) -> None:
        """Record that `positions` are done and their records end at `output_size`. Durable on return."""
        state = self.state
        state.output_size = output_size
        if tail:
            # A commit without records leaves the last ones to tell the output by.
            state.tail_size, state.tail_crc = len(tail), zlib.crc32(tail)
        state.counters = counters
        head = _facts(state) | {"done": len(positions), "failed": len(failed)}
        self._file.append(_frame(_COMMIT, head, positions.tobytes() + failed.tobytes()))
        self._file.sync()
        state.done.add(positions, failed)
        if self._file.size() - self._snapshot_size > COMPACT_BYTES:
            self.rewrite(state)

    def rewrite(self, state: JournalState) -> None:
        """Put a snapshot of `state` in the journal's place, atomically."""
        self._storage.write_new(self._path, _snapshot(state))
        self._file.close()
        self._file = self._storage.open(self._path)
        self._snapshot_size = self._file.size()
        self.state = state

    def close(self) -> None:
        """Let the file go; everything in it is durable already."""
        self._file.close()


def committed(path: Path) -> JournalState | None:
    """What the journal at `path` says is committed; only read, so for whoever looks on. None where nothing can be read.

    Raises OSError.
    """
    return _replay(_Image(path.read_bytes()))[0] if path.exists() else None


@dataclass(frozen=True, slots=True)
class _Image:
    """A journal as it is now."""

    data: bytes

    def size(self) -> int:
        return len(self.data)

    def read(self, offset: int, size: int) -> bytes:
        return self.data[offset : offset + size]


def _facts(state: JournalState) -> dict[str, Any]:
    return {
        "output_size": state.output_size,
        "tail_size": state.tail_size,
        "tail_crc": state.tail_crc,
        "counters": state.counters,
    }


def _frame(magic: bytes, head: dict[str, Any], body: bytes) -> bytes:
    facts = orjson.dumps(head)
    return (
        _HEAD.pack(magic, len(facts), len(body), _checksum(magic, len(facts), len(body), facts + body)) + facts + body
    )


def _checksum(magic: bytes, facts_size: int, body_size: int, data: bytes) -> int:
    # The sizes are covered too: a head of which a power cut left the magic, and zeros for the rest, is no empty frame.
    return zlib.crc32(data, zlib.crc32(_HEAD.pack(magic, facts_size, body_size, 0)))


def _snapshot(state: JournalState) -> bytes:
    done = state.done
    head = _facts(state) | {"base": done.base, "bits": len(done.bits), "swap": state.swap}
    return _frame(_SNAPSHOT, head, bytes(done.bits) + bytes(done.failed))


def _replay(file: AppendFile | _Image) -> tuple[JournalState | None, int, int]:
    """The state after the last whole frame, where that frame ends, and where the first one does."""
    state: JournalState | None = None
    offset = first = 0
    while (found := _frame_at(file, offset, _SNAPSHOT if state is None else _COMMIT)) is not None:
        facts_size, data = found
        state = _apply(state, orjson.loads(data[:facts_size]), data[facts_size:])
        offset += _HEAD.size + len(data)
        first = first or offset
    return state, offset, first


def _frame_at(file: AppendFile | _Image, offset: int, wanted: bytes) -> tuple[int, bytes] | None:
    """(size of its facts, facts and body) of the frame that begins at `offset`; None where there is no whole one."""
    magic, facts_size, body_size, checksum = _HEAD.unpack(file.read(offset, _HEAD.size).ljust(_HEAD.size, b"\0"))
    if magic != wanted or offset + _HEAD.size + facts_size + body_size > file.size():
        return None
    data = file.read(offset + _HEAD.size, facts_size + body_size)
    if len(data) != facts_size + body_size or _checksum(magic, facts_size, body_size, data) != checksum:
        return None
    return facts_size, data


def _more_frames(file: AppendFile, offset: int) -> bool:
    """Whether a whole frame begins anywhere after `offset`."""
    rest = file.read(offset, file.size() - offset)
    at = 0
    while (at := rest.find(_COMMIT, at + 1)) > 0:
        if _frame_at(file, offset + at, _COMMIT) is not None:
            return True
    return False


def _apply(state: JournalState | None, head: dict[str, Any], body: bytes) -> JournalState:
    if state is None:
        bits = head["bits"]
        state = JournalState(DoneSet(head["base"], body[:bits], body[bits:]), swap=head["swap"])
    else:
        positions, failed = array("Q"), array("Q")
        positions.frombytes(body[: 8 * head["done"]])
        failed.frombytes(body[8 * head["done"] :])
        state.done.add(positions, failed)
    state.output_size = head["output_size"]
    state.tail_size = head["tail_size"]
    state.tail_crc = head["tail_crc"]
    state.counters = head["counters"]
    return state
