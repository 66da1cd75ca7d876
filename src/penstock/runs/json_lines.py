"""The output of `send`: one JSON record per line, one line per item, in the order of finishing."""

from __future__ import annotations

import zlib
from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from ..engine.outcome import Answer, Outcome
from ..errors import OutputError, RunRefused
from .done_set import DoneSet
from .exact_json import dumps
from .journal import Journal, JournalState
from .storage import AppendFile, Storage


class RecordGroup:
    """Collects records until they are taken as one commit. It is for the event loop, and does no I/O."""

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        # One buffer and not a list of records: orjson leaves each of its results in an allocation of some 4 KiB.
        self._data = bytearray()
        self._positions = array("Q")
        self._failed = array("Q")
        self.pending_bytes = 0

    def put(self, outcome: Outcome[Any, Answer]) -> None:
        """Add the record of `outcome`."""
        line = record_of(outcome)
        self._data += line
        self._positions.append(outcome.position)
        if not outcome.ok:
            self._failed.append(outcome.position)
        self.pending_bytes += len(line)


class JsonLinesOutput(RecordGroup):
    """Collects records and commits them in groups, together with the journal.

    A commit blocks, and runs in a thread while `put` goes on filling the next group.
    """

    def __init__(self, file: AppendFile, journal: Journal) -> None:
        super().__init__()
        self._file = file
        self.journal = journal

    @classmethod
    def open(cls, storage: Storage, path: Path, journal: Journal) -> JsonLinesOutput:
        """Open the output where the journal says it ends. Raises RunRefused as `open_rows` does."""
        return cls(open_rows(storage, path, journal, name="records"), journal)

    @property
    def done(self) -> DoneSet:
        """The positions whose records are committed."""
        return self.journal.state.done

    @property
    def saved_counters(self) -> dict[str, Any]:
        """The counters as of the last commit."""
        return self.journal.state.counters

    def put_records(self, data: bytes, positions: array[int], failed: array[int]) -> None:
        """Add records that are made already, one line for each of `positions`."""
        self._data += data
        self._positions += positions
        self._failed += failed
        self.pending_bytes += len(data)

    def cut(self, counters: dict[str, Any]) -> Commit:
        """Take what was put so far as one commit; what comes goes into the next."""
        commit = Commit(self._file, self.journal, self._data, self._positions, self._failed, counters)
        self._clear()
        return commit

    def close(self) -> None:
        """Let the files go; what was not committed is dropped."""
        self._file.close()
        self.journal.close()


@dataclass(frozen=True, slots=True)
class Commit:
    """One group of records on its way to disk."""

    file: AppendFile
    journal: Journal
    data: bytearray
    positions: array[int]
    failed: array[int]
    counters: dict[str, Any]

    def write(self) -> None:
        """Write and sync, first the records, then the frame that makes them count. Raises StorageError."""
        if self.data:
            self.file.append(self.data)
            self.file.sync()
        self.journal.commit(self.positions, self.failed, self.file.size(), self.data, self.counters)


def open_rows(storage: Storage, path: Path, journal: Journal, *, name: str) -> AppendFile:
    """Open the lines at `path` where the journal says they end; what is beyond was never committed and is cut off.

    Raises RunRefused, and closes the journal, if it speaks of another file. `name` is what a line is called there.
    """
    state = journal.state
    if state.swap:
        _finish_swap(storage, path, journal)
    file = storage.open(path)
    size = file.size()
    tail = file.read(state.output_size - state.tail_size, state.tail_size) if state.tail_size else b""
    if size < state.output_size or zlib.crc32(tail) != state.tail_crc:
        file.close()
        journal.close()
        raise RunRefused(
            f"{path} was changed since the last commit (it has {size:,} bytes of {state.output_size:,}, or its "
            f"last {name} differ); put it back, or use --fresh to start afresh"
        )
    if size > state.output_size:
        file.truncate(state.output_size)
    return file


def record_of(outcome: Outcome[Any, Answer]) -> bytes:
    """The line for `outcome`."""
    answer = outcome.value
    record: dict[str, Any] = {
        "key": outcome.key,
        "ok": outcome.ok,
        "status": outcome.status if answer is None else answer.status,
        "attempts": outcome.attempts,
        "waited_ms": round(outcome.waited * 1e3, 3),
        "service_ms": round(outcome.service * 1e3, 3),
    }
    if outcome.ok:
        record["value"] = None if answer is None else answer.value
    else:
        record["error"] = {"kind": outcome.kind, "message": outcome.message[:1000]}
    try:
        return orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:
        # A surrogate or a whole number beyond 64 bits must not cost the record.
        return dumps(record) + b"\n"


def drop_failed(storage: Storage, path: Path, journal: Journal) -> int:
    """Take the records of failed items out of the output, and make those items not done. Returns their number.

    The new file is written beside the old one; the journal's snapshot that names it is the one moment at which
    both change. A crash before it changes nothing, a crash after it is finished by the next start.
    """
    done = journal.state.done
    failed = done.failed_count
    if not failed:
        return 0
    fresh = path.with_name(path.name + ".rewrite")
    size, tail = _copy_ok(storage, path, fresh, journal.state.output_size)
    counters = dict(journal.state.counters)
    counters.update(items=counters.get("items", 0) - failed, failed=0, by_kind={})
    state = JournalState(done.without_failed(), size, len(tail), zlib.crc32(tail), counters, swap=fresh.name)
    journal.rewrite(state)
    _finish_swap(storage, path, journal)
    return failed


def _copy_ok(storage: Storage, path: Path, fresh: Path, size: int) -> tuple[int, bytes]:
    target = storage.open(fresh)
    last = b""
    try:
        target.truncate(0)
        left = size
        with path.open("rb") as source:
            while left > 0 and (line := source.readline()):
                left -= len(line)
                if orjson.loads(line)["ok"]:
                    target.append(line)
                    last = line
        target.sync()
        return target.size(), last
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise OutputError(f"{path} cannot be read as penstock's output: {error}") from error
    finally:
        target.close()


def _finish_swap(storage: Storage, path: Path, journal: Journal) -> None:
    fresh = path.with_name(journal.state.swap)
    if fresh.exists():
        storage.replace(fresh, path)
    journal.state.swap = ""
    journal.rewrite(journal.state)
