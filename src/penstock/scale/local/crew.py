"""The processes of one run, seen from their parent: to a Driver they look like one engine.

The parent alone keeps the output, the journal and the lock of the run. A process asks for a range of records, makes
the calls, and hands over the finished records; they count when the parent has committed them. So it does not matter
when a process dies: what it had not handed over is done again by another, and no record is there twice. One that died
is started again once. When the parent dies the others see their pipes close and stop; the same command goes on, with
as many processes as it likes.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...clock import current_clock
from ...engine.counters import RunCounters
from ...errors import PenstockError, UsageError
from ...observe.histogram import Histogram
from ...runs.driver import MOST_PENDING_BYTES
from .child import LIVE
from .frames import frame, positions_of, read_frame
from .ranges import Ranges

LEAVE_SECONDS = 5.0
"""After a second interrupt: so long the processes have to hand over what is finished."""

_MOST_WAITING = 32
"""Batches of records that wait for the disk; beyond it nothing is read from the processes."""

_SUMMED = ("attempts", "retries", "throttled", "hedges", "outages", "probes")


@dataclass(frozen=True, slots=True)
class Batch:
    """Finished records that a process handed over; `counters` are its own as of then, `examples` of these records."""

    number: int
    data: bytes
    positions: Any
    failed: Any
    counters: dict[str, Any]
    examples: list[dict[str, Any]]


@dataclass(slots=True)
class _Member:
    """One process, from its start to its end."""

    number: int
    process: asyncio.subprocess.Process
    outstanding: set[int] = field(default_factory=set)
    """Positions that it was given and has not handed over."""
    committed: dict[str, Any] = field(default_factory=dict)
    live: dict[str, Any] = field(default_factory=dict)
    end: dict[str, Any] | None = None
    alive: bool = True
    wants: bool = False


class Crew:
    """Stands for an Engine where a Driver drives several processes. `tasks` are the first frames of each.

    `saved` are the counters of the sessions before; `paused` is told of every pause, in seconds since the epoch.
    """

    def __init__(
        self,
        command: Sequence[str],
        tasks: Sequence[bytes],
        ranges: Ranges,
        saved: dict[str, Any],
        put: Callable[[Batch], None],
        paused: Callable[[float], None],
    ) -> None:
        self._command = command
        self._tasks = tasks
        self._ranges = ranges
        self._put = put
        self._paused = paused
        self._saved = RunCounters()
        self._saved.restore(saved)
        self._members: list[_Member] = []
        self._minders: list[asyncio.Task[None]] = []
        self._batches: list[Batch] = []
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._failure: Exception | None = None
        self.stopping = False
        self.stopped = False
        self.complete = False
        self.counters = RunCounters()
        self.counters.restore(saved)

    # -- what a Driver asks of an engine ------------------------------------------------------------------------------

    async def __aenter__(self) -> Crew:
        self.counters.began = current_clock().now()
        self._room.set()
        self._minders = [asyncio.create_task(self._mind(number)) for number in range(len(self._tasks))]
        return self

    async def __aexit__(self, kind: Any, error: Any, trace: Any) -> None:
        self.stopping = True
        self._batches, left = [], self._batches
        self._leave(left)
        self._room.set()
        _, late = await asyncio.wait(self._minders, timeout=LEAVE_SECONDS)
        if late:
            for member in self._members:
                self._signal(member, signal.SIGKILL)
        # Not cancelled: what is in the pipes of those that were killed is finished, too.
        await asyncio.gather(*self._minders, return_exceptions=True)
        # What was handed over meanwhile is finished, and must not be called again.
        self._leave(self._batches)
        self.stopped = True

    def _leave(self, batches: list[Batch]) -> None:
        for member in self._members:
            self._signal(member, signal.SIGTERM)
        for batch in batches:
            self._put(self._counted(batch))

    async def some(self) -> list[Batch]:
        """All batches that are there, at least one; none only at the end.

        Raises what kept the processes from going on, after all that came before it.
        """
        while not self._batches:
            if all(minder.done() for minder in self._minders):
                for minder in self._minders:
                    minder.result()
                if self._failure is not None:
                    raise self._failure
                self.complete = not self.stopping and self._ranges.take() is None
                return []
            self._news.clear()
            await self._news.wait()
        batches, self._batches = self._batches, []
        self._room.set()
        return [self._counted(batch) for batch in batches]

    def stop(self) -> None:
        """Tell every process to send nothing more; what is in flight comes to its outcome."""
        if not self.stopping:
            self.stopping = True
            for member in self._members:
                self._signal(member, signal.SIGTERM)

    @property
    def ceiling(self) -> int:
        """The most in flight at present, all together."""
        return sum(member.live.get("ceiling", 0) for member in self._members if member.alive)

    # -- the processes ------------------------------------------------------------------------------------------------

    async def _mind(self, number: int) -> None:
        try:
            for starts in range(2):
                how = await self._accompany(number)
                if how is None or self.stopping or self._failure is not None:
                    return
                if starts:
                    self._fail(PenstockError(f"process {number + 1} of the run died twice ({how}); {_GOES_ON}"))
        finally:
            self._news.set()

    async def _accompany(self, number: int) -> str | None:
        """Start a process and serve it to its end: None if that was in order, else how it died."""
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                # Ctrl-C goes to us alone, and we tell them.
                start_new_session=True,
            )
        except OSError as error:
            self._fail(PenstockError(f"cannot start process {number + 1} of the run: {error.strerror}; {_GOES_ON}"))
            return None
        member = _Member(number, process)
        self._members.append(member)
        try:
            self._send(member, self._tasks[number])
            if self.counters.paused_until > current_clock().wall():
                self._send(member, frame({"pause": self.counters.paused_until}))
            if self.stopping or self._failure is not None:
                self._signal(member, signal.SIGTERM)
            assert process.stdout is not None
            while (message := await read_frame(process.stdout)) is not None:
                await self._heard(member, *message)
        finally:
            self._gone(member)
            code = await self._reap(process)
        return None if member.end is not None else f"exit status {code}"

    async def _heard(self, member: _Member, facts: dict[str, Any], blob: bytes) -> None:
        if "commit" in facts:
            await self._receive(member, facts["commit"], blob)
        elif "want" in facts:
            member.wants = True
            self._serve()
        elif "now" in facts:
            self._take_in(member, facts["now"])
        elif "end" in facts:
            member.end = facts["end"]
            if member.end["code"]:
                kind = UsageError if member.end["code"] == 2 else PenstockError
                self._fail(kind(member.end["message"]))

    async def _receive(self, member: _Member, facts: dict[str, Any], blob: bytes) -> None:
        cut = 8 * facts["positions"]
        rest = cut + 8 * facts["failed"]
        positions, failed = positions_of(blob[:cut]), positions_of(blob[cut:rest])
        member.outstanding.difference_update(positions)
        index = self._members.index(member)
        self._batches.append(Batch(index, blob[rest:], positions, failed, facts["counters"], facts["examples"]))
        self._news.set()
        self._serve()
        if self._are_many() and not self.stopping:
            self._room.clear()
            await self._room.wait()

    def _are_many(self) -> bool:
        batches = self._batches
        return len(batches) >= _MOST_WAITING or sum(len(batch.data) for batch in batches) >= MOST_PENDING_BYTES

    def _serve(self) -> None:
        """Give ranges to those who want one; when everything is done, tell them so."""
        if self.stopping or self._failure is not None:
            return
        for member in self._members:
            if member.wants and member.alive:
                taken = self._ranges.take()
                if taken is None:
                    break
                begin, end, done = taken
                member.outstanding.update(set(range(begin, end)).difference(done))
                member.wants = False
                self._send(member, frame({"range": [begin, end]}, done.tobytes()))
        else:
            return
        # What one has not handed over may come back to the others, should it die.
        if not any(member.outstanding for member in self._members):
            for member in self._members:
                if member.wants and member.alive:
                    member.wants = False
                    self._send(member, frame({"end": True}))

    def _gone(self, member: _Member) -> None:
        member.alive = False
        self._ranges.give_back(member.outstanding)
        member.outstanding = set()
        if member.process.stdin is not None:
            member.process.stdin.close()
        self._sum_up()
        self._serve()

    async def _reap(self, process: asyncio.subprocess.Process) -> int:
        # It has closed its pipe, so it is gone or about to go.
        try:
            async with asyncio.timeout(LEAVE_SECONDS):
                return await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            return await process.wait()

    def _send(self, member: _Member, data: bytes) -> None:
        # Small but for the first, and only what was asked for; so it is never much that waits to be written.
        assert member.process.stdin is not None
        with contextlib.suppress(ConnectionError, RuntimeError):
            member.process.stdin.write(data)

    def _signal(self, member: _Member, number: int) -> None:
        if member.alive and member.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                member.process.send_signal(number)

    def _fail(self, failure: Exception) -> None:
        if self._failure is None:
            self._failure = failure
            for member in self._members:
                self._signal(member, signal.SIGTERM)

    # -- counting -----------------------------------------------------------------------------------------------------

    def _counted(self, batch: Batch) -> Batch:
        self._members[batch.number].committed = batch.counters
        self._sum_up(records=True)
        return batch

    def _take_in(self, member: _Member, now: dict[str, Any]) -> None:
        before = member.live.get("paused_until", 0.0)
        member.live = now
        self._sum_up()
        if now["paused_until"] > before:
            self._paused(now["paused_until"])
            for other in self._members:
                if other is not member and other.alive:
                    self._send(other, frame({"pause": now["paused_until"]}))

    def _sum_up(self, *, records: bool = False) -> None:
        """What all processes have done, with the sessions before; with `records` also what belongs to their records."""
        total, saved = self.counters, self._saved
        states = [{**member.committed, **member.live} for member in self._members]
        for name in _SUMMED:
            latest = [max(member.committed.get(name, 0), member.live.get(name, 0)) for member in self._members]
            setattr(total, name, getattr(saved, name) + sum(latest))
        total.unasked = self._by_origin("unasked", saved.unasked)
        total.died = self._by_origin("died", saved.died)
        alive = [member.live for member in self._members if member.alive]
        total.in_flight = sum(live.get("in_flight", 0) for live in alive)
        total.in_flight_peak = max(total.in_flight_peak, total.in_flight)
        total.parked = sum(live.get("parked", 0) for live in alive)
        down = [live for live in alive if live.get("outage_since")]
        first = min(down, key=lambda live: live["outage_since"], default={})
        total.outage_since, total.outage_reason = first.get("outage_since"), first.get("outage_reason", "")
        total.paused_until = max(saved.paused_until, *[state.get("paused_until", 0.0) for state in states], 0.0)
        if records:
            self._sum_records()

    def _by_origin(self, name: str, saved: dict[str, int]) -> dict[str, int]:
        told = [[member.committed.get(name, {}), member.live.get(name, {})] for member in self._members]
        total = dict(saved)
        for origin in {origin for each in told for counts in each for origin in counts}:
            most = [max(counts.get(origin, 0) for counts in each) for each in told]
            total[origin] = total.get(origin, 0) + sum(most)
        return total

    def _sum_records(self) -> None:
        total, saved = self.counters, self._saved
        committed = [member.committed for member in self._members if member.committed]
        for name in ("items", "ok", "failed"):
            setattr(total, name, getattr(saved, name) + sum(each[name] for each in committed))
        total.by_kind = dict(saved.by_kind)
        for each in committed:
            for kind, count in each["by_kind"].items():
                total.by_kind[kind] = total.by_kind.get(kind, 0) + count
        total.service, total.response = Histogram(), Histogram()
        total.service.merge(saved.service)
        total.response.merge(saved.response)
        for each in committed:
            total.service.merge(Histogram.from_json(each["service"]))
            total.response.merge(Histogram.from_json(each["response"]))

    def used(self) -> list[float]:
        """The share of each limit that all processes together used; empty as long as none has told."""
        # Each knows what all used while it was there; who sent most was there longest.
        told = [member.end or member.live for member in self._members]
        return list(max(told, key=lambda each: each.get("sent", 0), default={}).get("used", []))

    def ends(self) -> list[dict[str, Any]]:
        """What each process said at its end, in no order."""
        return [member.end for member in self._members if member.end is not None]


_GOES_ON = "the same command goes on from there"

assert set(_SUMMED) < set(LIVE)
