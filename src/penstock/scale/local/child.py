"""One of the processes of a run: it makes the calls for ranges of records, and hands what comes of them to its parent.

It keeps nothing: a record counts when the parent has committed it. When the parent is gone it stops at once, and what
was in flight is done again by whoever goes on with the run.
"""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...clock import current_clock
from ...engine.engine import Engine
from ...engine.outcome import Answer, Item, Outcome
from ...errors import PenstockError, UsageError
from ...limits.limiter import RateLimiter
from ...outbound.http_call import http_call
from ...outbound.records import BATCH_BYTES, Record, RecordFile
from ...outbound.request_template import RequestBuilder
from ...outbound.send import make_interpreter
from ...runs.client import RedirectPermits, make_client
from ...runs.driver import Watcher
from ...runs.examples import Examples
from ...runs.json_lines import RecordGroup
from ...runs.origin_faults import OriginFaults
from ...runs.run_folder import RunFolder
from ...runs.session import Session
from ...runs.storage import DISK
from ...runs.summary import peak_rss_bytes
from .frames import FrameWriter, Task, positions_of, read_frame

_LOOK_SECONDS = 0.05
"""How soon the others learn of a pause, where no limit that they share tells them."""
_TELL_EVERY = 10
"""Looks."""
_MOST_BYTES = 4 * BATCH_BYTES
"""Of a range are held in memory at a time."""


async def work(commands: int, results: int) -> None:
    """Do what comes over the pipe `commands`, and answer over `results` (both are file descriptors)."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    pipe = os.fdopen(commands, "rb", buffering=0)
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    try:
        first = await read_frame(reader)
        if first is not None:
            await _Worker(Task.read(first[1]), reader, FrameWriter(results)).carry_out()
    except* BrokenPipeError:
        # The parent is gone, and with it whoever could use what we have.
        pass
    finally:
        transport.close()


class _Worker:
    def __init__(self, task: Task, reader: asyncio.StreamReader, writer: FrameWriter) -> None:
        self._task = task
        self._reader = reader
        self._writer = writer
        self._limiter: RateLimiter | None = None
        self._paused_until = -math.inf
        """Seconds since the epoch."""
        self._sight = _Sight()
        self._source = _RangeSource(task, writer)

    async def carry_out(self) -> None:
        """Work to the end, or to where it is stopped."""
        facts: dict[str, Any] = {"code": 0, "message": "", "used": []}
        async with asyncio.TaskGroup() as group:
            session = asyncio.ensure_future(self._session())
            beside = [group.create_task(self._obey(session)), group.create_task(self._tell())]
            try:
                facts["complete"] = (await session)["complete"]
            except PenstockError as error:
                facts |= {"complete": False, "code": 2 if isinstance(error, UsageError) else 3, "message": str(error)}
            except asyncio.CancelledError:
                facts["complete"] = False
            finally:
                for each in (*beside, session):
                    each.cancel()
        self._writer.write({"end": facts | self._limits() | {"peak_rss": peak_rss_bytes()}})

    def _limits(self) -> dict[str, Any]:
        if self._limiter is None:
            return {}
        return {
            "used": [window.used() for window in self._limiter.windows],
            "sent": self._limiter.statistics().sent,
        }

    async def _session(self) -> dict[str, Any]:
        task = self._task
        builder = RequestBuilder(task.job.template, task.run_id)
        interpret = make_interpreter(task.job)
        session = Session(
            flow=task.flow,
            # Not locked: the parent has the lock of the run, and of this folder a session only needs where it is.
            folder=RunFolder(task.folder, -1, DISK),
            total=None,
            idempotent=task.job.template.idempotent,
            watch=self._watch,
            one_host=builder.one_host,
            redirects=RedirectPermits(),
            faults=OriginFaults(),
            given=task.job.given,
            recorded=False,
        )
        async with make_client(task.flow, session.redirects, session.faults) as client:
            call = http_call(client, builder, interpret, task.job.secrets())
            return await session.carry_out(call, self._source, _PipeSink(self._writer))

    def _watch(self, total: int | None, limiter: RateLimiter) -> tuple[Watcher, ...]:
        self._limiter = limiter
        self._pause(self._paused_until)
        return (self._sight,)

    def _pause(self, until: float) -> None:
        # It may be told before there is anything that could wait.
        self._paused_until = max(self._paused_until, until)
        clock = current_clock()
        if self._limiter is not None and until > clock.wall():
            self._limiter.pause_until(clock.now() + until - clock.wall())

    async def _obey(self, session: asyncio.Future[Any]) -> None:
        while (message := await read_frame(self._reader)) is not None:
            facts, blob = message
            if "range" in facts:
                self._source.ranges.put_nowait((*facts["range"], blob))
            elif "pause" in facts:
                self._pause(facts["pause"])
            elif "end" in facts:
                self._source.ranges.put_nowait(None)
        session.cancel()

    async def _tell(self) -> None:
        """Tell the parent how it goes, and at once when the peer asked for a pause."""
        clock, told, looks = current_clock(), 0.0, 0
        while True:
            await clock.sleep(_LOOK_SECONDS)
            engine = self._sight.engine
            if engine is None:
                continue
            counters = engine.counters
            looks += 1
            if looks % _TELL_EVERY and counters.paused_until <= told:
                continue
            told = counters.paused_until
            now = {name: getattr(counters, name) for name in LIVE} | {"ceiling": engine.ceiling} | self._limits()
            await asyncio.to_thread(self._writer.write, {"now": now})


LIVE = (
    *("attempts", "retries", "throttled", "hedges", "outages", "probes", "unasked", "died"),
    *("in_flight", "parked", "outage_since", "outage_reason", "paused_until"),
)
"""Of the counters, those that are of now, or that need not agree with the records."""


class _Sight:
    """A Watcher that only remembers whom it was shown."""

    interval = 0.5
    engine: Engine[Any, Any] | None = None

    def show(self, engine: Engine[Any, Any], elapsed: float) -> None:
        """Take note of the engine; it is the parent that shows the run."""
        self.engine = engine


class _RangeSource:
    """A batch source over the ranges that the parent hands out, one at a time."""

    def __init__(self, task: Task, writer: FrameWriter) -> None:
        self.ranges: asyncio.Queue[tuple[int, int, bytes] | None] = asyncio.Queue()
        self._task = task
        self._records: RecordFile
        self._index = positions_of(task.index)
        self._parse = task.parse or task.format == "csv" or task.job.key is not None
        self._writer = writer

    async def batches(self) -> AsyncIterator[list[Item[Record]]]:
        """Items of one range after another, until the parent has no more."""
        self._records = await asyncio.to_thread(self._open)
        while True:
            await asyncio.to_thread(self._writer.write, {"want": True})
            wanted = await self.ranges.get()
            if wanted is None:
                return
            begin, end, done = wanted
            skip = set(positions_of(done))
            while begin < end:
                batch, begin = await asyncio.to_thread(self._read, begin, end, skip)
                if batch:
                    yield batch

    def _open(self) -> RecordFile:
        # Not before: what it raises belongs to the session, which tells the parent.
        records = RecordFile(self._task.source, format=self._task.format, key=self._task.job.key)
        records.trust(self._task.digests)
        return records

    def _read(self, begin: int, end: int, skip: set[int]) -> tuple[list[Item[Record]], int]:
        batch: list[Item[Record]] = []
        size = 0
        with self._records.open() as file:
            for length, item in self._records.items(file, begin, self._index, parse=self._parse):
                if item.position >= end or size >= _MOST_BYTES:
                    return batch, item.position
                if item.position not in skip:
                    batch.append(item)
                    size += length
        return batch, end


class _PipeSink(RecordGroup):
    """A sink whose commits go to the parent, with examples of what is in them."""

    def __init__(self, writer: FrameWriter) -> None:
        super().__init__()
        self._writer = writer

    def _clear(self) -> None:
        super()._clear()
        # Never written here: the parent keeps those of all.
        self._examples = Examples(Path(os.devnull))

    def put(self, outcome: Outcome[Any, Answer]) -> None:
        """Take one outcome, as a line of the output."""
        super().put(outcome)
        self._examples.see(outcome)

    def cut(self, counters: dict[str, Any]) -> _PipeCommit:
        """All lines since the last cut, as one message to the parent."""
        facts: dict[str, Any] = {"counters": counters, "positions": len(self._positions), "failed": len(self._failed)}
        facts["examples"] = self._examples.kept()
        blob = self._positions.tobytes() + self._failed.tobytes() + self._data
        self._clear()
        return _PipeCommit(self._writer, facts, blob)


@dataclass(frozen=True, slots=True)
class _PipeCommit:
    writer: FrameWriter
    facts: dict[str, Any]
    blob: bytes

    def write(self) -> None:
        """Send it; blocks while the pipe is full."""
        self.writer.write({"commit": self.facts}, self.blob)
