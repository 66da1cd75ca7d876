"""Read records from a `.jsonl` or `.csv` file: surveyed once before the first send, then streamed by the batch.

The survey reads the whole input once. It finds every malformed line and duplicate key before anything is sent, the
number of records (for progress and ETA), and where every 4,096th record begins (so that a run that is taken up
again at the end of a huge file starts in milliseconds). It learns the digests of the file, to which whatever is read
later is held.
"""

from __future__ import annotations

import asyncio
import csv
import hashlib
import io
import json
import os
import threading
from array import array
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from ..engine.outcome import Item
from ..errors import InputError, UsageError
from ..runs.exact_json import loads
from .checked_file import BLOCK_BYTES, CheckedFile, Digests, look
from .unique import UniqueKeys

INDEX_EVERY = 4096
BATCH_RECORDS = 256
BATCH_BYTES = 1 << 20
LONGEST_RECORD = 64 << 20
_SAMPLES = 64
_SAMPLE_BYTES = 64 << 10


class Record:
    """One record: its parsed `fields`, its bytes as they stood in a JSONL file, or what is wrong with it."""

    __slots__ = ("fields", "key", "problem", "raw")

    def __init__(self, fields: Any, raw: bytes | None = None, problem: str = "") -> None:
        self.fields = fields
        self.key: Any = None
        self.raw = raw
        self.problem = problem


@dataclass(slots=True)
class Survey:
    """What one look at the whole input found."""

    count: int = 0
    bad: int = 0
    first_bad: InputError | None = None
    index: array[int] = field(default_factory=lambda: array("Q"))


class RecordFile:
    """A file of records. `key` names the field that is each record's key; None takes its position.

    Raises InputError for a file that is missing, empty or unreadable, UsageError for one of unknown format.
    """

    def __init__(self, path: Path, *, format: str | None = None, key: str | None = None) -> None:  # noqa: A002
        self.path = path
        self.format = format or _format_of(path)
        self.key = key
        try:
            if path.is_dir():
                raise InputError("is a folder, not a file", path=str(path))
            seen = look(path)
            self.size = seen[1]
            self.digests = Digests(self.size, seen=seen)
            """What the file is held to: learnt by a survey, or those of the run that goes on, see `trust`."""
            with path.open("rb") as file:
                self._start, self.header = self._read_start(file)
        except OSError as error:
            raise InputError(f"cannot be read: {error.strerror or error}", path=str(path)) from error
        if self.size == 0:
            raise InputError("is empty", path=str(path))

    def trust(self, digests: Digests) -> None:
        """From now on hold the file to what it was. Raises RunRefused if its beginning is not."""
        self.digests = digests
        with self.open() as file:
            self._start, self.header = self._read_start(file)

    def open(self) -> BinaryIO:
        """The file, each block of which is checked before it is read. Reading raises RunRefused."""
        return io.BufferedReader(CheckedFile(self.path, self.digests), BLOCK_BYTES)

    def fingerprint(self) -> dict[str, Any]:
        """What identifies the content: the size and a digest of up to 64 blocks spread evenly over the file."""
        digest = hashlib.sha256()
        step = max(_SAMPLE_BYTES, self.size // _SAMPLES)
        with self.path.open("rb") as file:
            for offset in [*range(0, self.size, step), max(0, self.size - _SAMPLE_BYTES)]:
                digest.update(os.pread(file.fileno(), _SAMPLE_BYTES, offset))
        return {"size": self.size, "sha256 of samples": digest.hexdigest(), "format": self.format}

    def survey(
        self,
        folder: Path,
        check: Callable[[Any], str] = lambda fields: "",
        progress: Callable[[int, int], None] = lambda records, bytes_read: None,
        stop_at_bad: bool = True,
    ) -> Survey:
        """Read everything once, and learn `digests`. Blocks; call it before the loop starts or in a thread.

        `check` says what is wrong with a record, or nothing. With `stop_at_bad` the first malformed record ends it.
        Raises InputError for duplicate keys, naming both lines, and for a file without any record, RunRefused for one
        that is written to meanwhile.
        """
        found = Survey()
        keys = UniqueKeys(folder) if self.key is not None else None
        with self.open() as file:
            file.read(self._start)
            for offset, raw in self._raw(file, self._start):
                if found.count % INDEX_EVERY == 0:
                    found.index.append(offset)
                    progress(found.count, offset)
                record = self._parse(raw)
                problem = record.problem or check(record.fields)
                if not problem and keys is not None:
                    key, problem = self._key_of(record.fields)
                    if not problem:
                        keys.add(key, found.count)
                if problem:
                    found.bad += 1
                    if found.first_bad is None:
                        found.first_bad = self._bad(problem, offset)
                        if stop_at_bad:
                            return found
                found.count += 1
        self.digests.finish(self.path)
        if found.count == 0:
            raise InputError("holds no records", path=str(self.path))
        if keys is not None and (twice := keys.find_duplicate(self._key_at)) is not None:
            raise self._duplicate(*twice)
        return found

    def stream(self, index: array[int], done: Any = (), start: int = 0, *, parse: bool = True) -> RecordStream:
        """The records from position `start` on that are not in `done`, as a source for the engine.

        Without `parse` a JSONL record that needs no look inside is passed on as it stands.
        """
        return RecordStream(self, index, done, start, parse=parse or self.format == "csv" or self.key is not None)

    def items(
        self, file: BinaryIO, start: int, index: array[int], *, parse: bool
    ) -> Iterator[tuple[int, Item[Record]]]:
        """(bytes, item) of each record from position `start` on."""
        block = min(start // INDEX_EVERY, len(index) - 1)
        position = block * INDEX_EVERY
        offset = index[block]
        file.seek(offset)
        for _, raw in self._raw(file, offset):
            if position >= start:
                record = self._parse(raw) if parse else Record(None, raw)
                yield len(raw), self._item(position, record)
            position += 1

    def _item(self, position: int, record: Record) -> Item[Record]:
        key = None
        if self.key is not None and not record.problem:
            key, record.problem = self._key_of(record.fields)
        item = Item(position, record, key)
        record.key = item.key
        return item

    def _key_of(self, fields: Any) -> tuple[Any, str]:
        key = fields.get(self.key) if isinstance(fields, dict) else None
        if isinstance(key, bool) or not isinstance(key, (str, int)):
            return None, f"has no field {self.key!r} that is a text or a whole number (--key)"
        return key, ""

    def _key_at(self, positions: set[int]) -> dict[int, Any]:
        keys: dict[int, Any] = {}
        with self.open() as file:
            file.seek(self._start)
            for position, (_, raw) in enumerate(self._raw(file, self._start)):
                if position in positions:
                    keys[position] = self._key_of(self._parse(raw).fields)[0]
        return keys

    def _duplicate(self, first: int, second: int, key: Any) -> InputError:
        return InputError(
            f"records {first} and {second} (counted from 0) have the same key {key!r}; keys must be unique (--key)",
            path=str(self.path),
        )

    def _bad(self, problem: str, offset: int) -> InputError:
        with self.path.open("rb") as file:
            line = 1
            left = offset
            while left > 0 and (block := file.read(min(left, BATCH_BYTES))):
                line += block.count(b"\n")
                left -= len(block)
        return InputError(f"{problem}; mend it or give --on-bad-record skip", path=str(self.path), line=line)

    # -- formats ------------------------------------------------------------------------------------------------------

    def _read_start(self, file: BinaryIO) -> tuple[int, list[str]]:
        bom = 3 if file.read(3) == b"\xef\xbb\xbf" else 0
        if self.format != "csv":
            return bom, []
        file.seek(bom)
        for _, raw in _csv_rows(file, bom):
            header = raw if isinstance(raw, list) else []
            twice = sorted({name for name in header if header.count(name) > 1})
            if twice:
                raise InputError(f"the header names {twice[0]!r} twice", path=str(self.path), line=1)
            return file.tell(), header
        return bom, []

    def _raw(self, file: BinaryIO, offset: int) -> Iterator[tuple[int, Any]]:
        return _csv_rows(file, offset) if self.format == "csv" else _json_lines(file, offset)

    def _parse(self, raw: Any) -> Record:
        if self.format == "csv":
            return self._parse_row(raw)
        if len(raw) > LONGEST_RECORD:
            return Record(None, None, f"is longer than {LONGEST_RECORD >> 20} MiB")
        try:
            return Record(loads(raw), raw)
        except json.JSONDecodeError as error:
            return Record(None, None, f"is not JSON: {error.msg} at column {error.colno}")
        except ValueError as error:
            return Record(None, None, f"is not JSON: {error}")

    def _parse_row(self, row: Any) -> Record:
        if isinstance(row, csv.Error):
            return Record(None, None, f"is not CSV: {row}")
        if len(row) != len(self.header):
            return Record(None, None, f"has {len(row)} fields where the header names {len(self.header)}")
        if any(not each.isascii() and _has_surrogate(each) for each in row):
            return Record(None, None, "is not UTF-8")
        return Record(dict(zip(self.header, row, strict=True)))


class RecordStream:
    """A batch source over a RecordFile; reading happens in a thread."""

    def __init__(self, records: RecordFile, index: array[int], done: Any, start: int, *, parse: bool) -> None:
        self._records = records
        self._index = index
        self._done = done
        self._start = start
        self._parse = parse

    async def batches(self) -> AsyncIterator[list[Item[Record]]]:
        """Records in order of position that are not done yet, read in a thread."""
        reader = _Reader(self._records, self._index, self._done, self._start, parse=self._parse)
        try:
            while batch := await asyncio.to_thread(reader.next_batch):
                yield batch
        finally:
            reader.close()


class _Reader:
    """The blocking half of a RecordStream. The lock keeps `close` from pulling the file from under a read."""

    def __init__(self, records: RecordFile, index: array[int], done: Any, start: int, *, parse: bool) -> None:
        self._lock = threading.Lock()
        self._done = done
        self._file: BinaryIO | None = records.open()
        self._items = records.items(self._file, start, index, parse=parse)

    def next_batch(self) -> list[Item[Record]]:
        batch: list[Item[Record]] = []
        size = 0
        with self._lock:
            if self._file is None:
                return batch
            for length, item in self._items:
                if item.position in self._done:
                    continue
                batch.append(item)
                size += length
                if len(batch) >= BATCH_RECORDS or size >= BATCH_BYTES:
                    break
        return batch

    def close(self) -> None:
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None


def _json_lines(file: BinaryIO, offset: int) -> Iterator[tuple[int, bytes]]:
    """(offset, line) of every line that is not blank."""
    while line := file.readline(LONGEST_RECORD + 2):
        here = offset
        offset += len(line)
        if len(line) > LONGEST_RECORD and not line.endswith(b"\n"):
            while (rest := file.readline(LONGEST_RECORD)) and not rest.endswith(b"\n"):
                offset += len(rest)
            offset += len(rest)
        elif stripped := line.strip():
            yield here, stripped
            continue
        else:
            continue
        yield here, line


def _csv_rows(file: BinaryIO, offset: int) -> Iterator[tuple[int, Any]]:
    """(offset, row) of every row that is not empty; a csv.Error in the place of a row that cannot be read."""
    consumed = offset

    def lines() -> Iterator[str]:
        nonlocal consumed
        while line := file.readline():
            consumed += len(line)
            yield line.decode("utf-8", "surrogateescape")

    rows = csv.reader(lines(), strict=True)
    while True:
        here = consumed
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            yield here, error
            continue
        if row:
            yield here, row


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= letter <= "\udfff" for letter in text)


def _format_of(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix in (".jsonl", ".ndjson"):
        return "jsonl"
    if suffix == ".csv":
        return "csv"
    raise UsageError(f"cannot tell the format of {path} by its name; it must end in .jsonl or .csv, or give --format")
