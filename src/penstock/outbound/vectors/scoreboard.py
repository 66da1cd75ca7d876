"""One record of 16 bytes for each vector, at position * 16: what was found, how similar, how fast.

    f32 similarity | u32 latency in us | u32 id of the hit, or kind of failure | u8 finding | u8 attempts |
    u16 status

It is the output, the journal and the data for every figure at once: 160 MB for 10 million vectors. A finding
of 0 means "not done", which is what a preallocated file holds, so going on after a crash is one scan for
zeros.

Fault model. A record lies within one 512-byte sector (512 is a multiple of 16), and sectors are written
whole: after a power cut each record is the old or the new one, never a mixture, and needs no checksum. Pages
of 4 KiB are written again with the records they already had, byte for byte, so a torn page loses nothing that
was committed. Whether a record is old or new is certain only up to the last `commit`, which ends with
fdatasync.
"""

from __future__ import annotations

import math
import os
import re
import struct
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import InputError, RunRefused, StorageError
from ...rules.census.finding import Finding
from .allocate import make_file, reason, sync
from .fields import CELL, KIND_CODES, NO_ID

if TYPE_CHECKING:
    from .summary import Summary

__all__ = ["KIND_CODES", "NO_ID", "Scoreboard"]

RECORD_BYTES = CELL.size
_PAGE_SHIFT = 8
_PAGE_RECORDS = 1 << _PAGE_SHIFT
_PAGE_BYTES = _PAGE_RECORDS * RECORD_BYTES
_FINDING_AT = 12
_MAX_PAGES = 1024
"""Pages kept before they are written without waiting for a commit: 4 MiB, whatever the order of items."""
_SCAN_RECORDS = 16_384
_NOT_DONE = re.compile(rb"\0+")
_FLOAT32_MAX = 3.4028234663852886e38

Pages = dict[int, bytearray]


class Scoreboard:
    """The records of `count` vectors in one file. `put` and `freeze` belong to one thread; see `write`."""

    def __init__(self, path: Path, count: int, descriptor: int) -> None:
        self.path = path
        self.count = count
        self._descriptor = descriptor
        self._pages: Pages = {}
        self._writing: Pages = {}

    @classmethod
    def open(cls, path: str | os.PathLike[str], count: int, create: bool = True) -> Scoreboard:
        """Open the scoreboard at `path`, made and preallocated where there is none and `create` is true.

        Raises InputError where there is none and `create` is false, RunRefused for one of another number of
        vectors, StorageError where it cannot be made, a full disk included.
        """
        file = Path(path)
        size = count * RECORD_BYTES
        if not file.exists():
            if not create:
                raise InputError("no scoreboard here", path=str(file))
            make_file(file, size)
        try:
            descriptor = os.open(file, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise StorageError(f"{file}: cannot be opened: {error.strerror}") from error
        found = os.fstat(descriptor).st_size
        if found != size:
            os.close(descriptor)
            raise RunRefused(
                f"{file} holds {found / RECORD_BYTES:g} records, but the input has {count} vectors: it "
                "belongs to another input. Give another --out, or --fresh to begin again",
                differs=("count",),
            )
        return cls(file, count, descriptor)

    def put(
        self,
        index: int,
        similarity: float,
        latency_us: int,
        hit_id: int,
        finding: int,
        attempts: int,
        status: int,
    ) -> None:
        """Keep the record of vector `index`; on disk after the next commit. A later one replaces it.

        `hit_id` is the position of the hit or NO_ID; with FAILED it is a code from KIND_CODES. Numbers too
        large for their field are cut to its largest; a similarity that float32 cannot hold becomes infinite.
        """
        if not 0 <= index < self.count:
            raise IndexError(f"vector {index} of {self.count}")
        page = self._pages.get(index >> _PAGE_SHIFT)
        if page is None:
            page = self._load(index >> _PAGE_SHIFT)
        at = (index & (_PAGE_RECORDS - 1)) << 4
        try:
            CELL.pack_into(page, at, similarity, latency_us, hit_id, finding, attempts, status)
        except (struct.error, OverflowError):
            _pack_clamped(page, at, similarity, (latency_us, hit_id, attempts, status), finding)

    def get(self, index: int) -> tuple[float, int, int, Finding, int, int]:
        """The record of vector `index` as it stands, committed or not, in the order that `put` takes."""
        if not 0 <= index < self.count:
            raise IndexError(f"vector {index} of {self.count}")
        page = self._pages.get(index >> _PAGE_SHIFT) or self._read_page(index >> _PAGE_SHIFT)
        fields = CELL.unpack_from(page, (index & (_PAGE_RECORDS - 1)) << 4)
        similarity, latency_us, hit_id, finding, attempts, status = fields
        return similarity, latency_us, hit_id, Finding(finding), attempts, status

    def commit(self) -> None:
        """Write everything and wait until it is on disk. Raises StorageError; nothing is forgotten then."""
        self.write(self.freeze())

    def freeze(self) -> Pages:
        """Take what is to be written out of the way of `put`; hand it to `write` before the next `freeze`."""
        if self._writing:
            raise RuntimeError("the pages frozen before were not written yet")
        self._writing, self._pages = self._pages, {}
        return self._writing

    def write(self, pages: Pages) -> None:
        """Write frozen pages and wait for the disk (fdatasync), in any thread, while `put` goes on.

        Raises StorageError; the pages are then kept for the next try.
        """
        try:
            self._write_out(pages)
            sync(self._descriptor)
        except OSError as error:
            # What was put since began as a copy of the page in `pages`, so the newer one wins. One dictionary
            # operation a page, since `put` may be running in its own thread.
            for number, page in pages.items():
                self._pages.setdefault(number, page)
            self._writing = {}
            raise StorageError(f"{self.path}: cannot be written: {reason(error)}") from error
        self._writing = {}

    def not_done(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, int]]:
        """Ranges (first, end) of vectors without a finding, as committed, in order; `end` is not included.

        Lazy, block by block, so that a scan of 10 million takes no memory and can begin the run at once. What
        is put but not committed when its block is read counts as not done.
        """
        open_range: tuple[int, int] | None = None
        for first, findings in self._findings(start, self.count if stop is None else min(stop, self.count)):
            for zeros in _NOT_DONE.finditer(findings):
                begin, end = first + zeros.start(), first + zeros.end()
                if open_range is not None and open_range[1] == begin:
                    open_range = (open_range[0], end)
                    continue
                if open_range is not None:
                    yield open_range
                open_range = (begin, end)
        if open_range is not None:
            yield open_range

    def done_count(self) -> int:
        """How many vectors have a finding, as committed."""
        return sum(len(findings) - findings.count(0) for _, findings in self._findings(0, self.count))

    def counts(self) -> dict[Finding, int]:
        """How many vectors have each finding, as committed; every finding is there, NOT_DONE included."""
        totals = dict.fromkeys(Finding, 0)
        for _, findings in self._findings(0, self.count):
            for finding in Finding:
                totals[finding] += findings.count(finding)
        return totals

    def reset(self, findings: Collection[Finding]) -> int:
        """Make every vector with one of `findings` not done again, and commit; says how many these were."""
        if not findings:
            return 0
        self.commit()
        wanted = re.compile(b"[" + b"".join(re.escape(bytes([f])) for f in sorted(findings)) + b"]")
        number = 0
        for first, found in self._findings(0, self.count):
            for match in wanted.finditer(found):
                self.put(first + match.start(), 0.0, 0, 0, Finding.NOT_DONE, 0, 0)
                number += 1
        self.commit()
        return number

    def records(self) -> Iterator[tuple[int, bytes]]:
        """(first position, bytes of up to 16,384 records), as committed, in order: for re-analysis."""
        yield from self._blocks(0, self.count)

    def summary(self) -> Summary:
        """Every figure, derived again from the file as committed: a check on what was counted on the way."""
        from .summary import summarise

        return summarise(self.records, self.count)

    def close(self) -> None:
        """Commit and close; again does nothing."""
        if self._descriptor < 0:
            return
        try:
            self.commit()
        finally:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Scoreboard:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Scoreboard {self.path.name}: {self.count} vectors, {len(self._pages)} pages not committed>"

    def _load(self, number: int) -> bytearray:
        if len(self._pages) >= _MAX_PAGES:
            self._spill()
        page = self._read_page(number)
        self._pages[number] = page
        return page

    def _spill(self) -> None:
        """Write pages without waiting for the disk: they may be lost in a power cut, as before any commit."""
        # While older states of the same pages are being written by another thread, the older could land last.
        if self._writing:
            return
        try:
            self._write_out(self._pages)
        except OSError as error:
            raise StorageError(f"{self.path}: cannot be written: {reason(error)}") from error
        self._pages = {}

    def _read_page(self, number: int) -> bytearray:
        frozen = self._writing.get(number)
        if frozen is not None:
            return bytearray(frozen)
        page = bytearray(self._read(number * _PAGE_RECORDS, _PAGE_RECORDS))
        # The last page may reach beyond the end of the file.
        page.extend(bytes(_PAGE_BYTES - len(page)))
        return page

    def _write_out(self, pages: Pages) -> None:
        size = self.count * RECORD_BYTES
        for number in sorted(pages):
            offset = number * _PAGE_BYTES
            view = memoryview(pages[number])[: size - offset]
            while view:
                written = os.pwrite(self._descriptor, view, offset)
                view, offset = view[written:], offset + written

    def _read(self, first: int, number: int) -> bytes:
        number = min(number, self.count - first)
        try:
            data = os.pread(self._descriptor, number * RECORD_BYTES, first * RECORD_BYTES)
        except OSError as error:
            raise StorageError(f"{self.path}: cannot be read: {reason(error)}") from error
        if len(data) != number * RECORD_BYTES:
            raise StorageError(f"{self.path}: has become shorter than {self.count} records")
        return data

    def _blocks(self, start: int, stop: int) -> Iterator[tuple[int, bytes]]:
        for first in range(start, stop, _SCAN_RECORDS):
            yield first, self._read(first, min(_SCAN_RECORDS, stop - first))

    def _findings(self, start: int, stop: int) -> Iterator[tuple[int, bytes]]:
        for first, block in self._blocks(start, stop):
            yield first, block[_FINDING_AT::RECORD_BYTES]


def _pack_clamped(
    page: bytearray, at: int, similarity: float, numbers: tuple[int, int, int, int], finding: int
) -> None:
    if abs(similarity) > _FLOAT32_MAX:
        similarity = math.copysign(math.inf, similarity)
    latency_us, hit_id, attempts, status = (max(0, number) for number in numbers)
    CELL.pack_into(
        page,
        at,
        similarity,
        min(latency_us, 2**32 - 1),
        # An id that does not fit must not come out as another one.
        min(hit_id, NO_ID),
        finding,
        min(attempts, 255),
        min(status, 65_535),
    )
