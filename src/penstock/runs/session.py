"""One session of a durable run: limits, engine, record and driver put together."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ..call import Req, Resp
from ..clock import SYSTEM_CLOCK, current_clock
from ..engine.costs import CostEstimate, Costs, told_cost
from ..engine.counters import RunCounters
from ..engine.engine import Engine
from ..engine.feed import BatchSource
from ..engine.http_judge import HttpJudge
from ..engine.item_call import ItemCall, Raw
from ..engine.key_lines import KeyLines
from ..engine.state import EngineState
from ..limits.limiter import RateLimiter
from .client import RedirectPermits
from .driver import Driver, Sink, Watch
from .flow import Flow
from .origin_faults import OriginFaults
from .run_folder import RunFolder
from .secrets.given import NOTHING_GIVEN, Given
from .session_limits import KeyOf, SessionLimits, open_limits
from .sessions import SessionRecord
from .summary import summarise

T = TypeVar("T")


@dataclass(slots=True)
class Session:
    """One session of a durable run: what it works with, and what came of it."""

    flow: Flow
    folder: RunFolder
    total: int | None
    idempotent: bool
    counters: dict[str, Any] = field(default_factory=dict)
    """As of the last commit of the session before."""
    resumed_at: int = 0
    """Items that were done when the session began."""
    watch: Watch = lambda total, limiter: ()
    known: Callable[[], dict[str, Any]] = dict
    """What the command knows beside the counters, such as a `total` that is only told on the way; for the report."""
    redirects: RedirectPermits | None = None
    faults: OriginFaults | None = None
    key_of: KeyOf | None = None
    """What `flow.limit_by` says an item's key is."""
    one_host: bool = True
    """Whether all calls go to the same host."""
    recorded: bool = True
    """Whether it is part of what `penstock report` shows of the run."""
    given: Given = NOTHING_GIVEN
    final_counters: dict[str, Any] = field(default_factory=dict)
    """The counters at the end of this session."""

    async def carry_out(
        self,
        call: ItemCall[T, Req, Raw, Resp],
        source: Iterable[T] | AsyncIterable[T] | BatchSource[T],
        sink: Sink[T, Resp],
    ) -> dict[str, Any]:
        """Run to the end, or to where it is stopped; returns the summary. Raises StorageError."""
        with open_limits(self.folder.path, self.flow, self.key_of) as limits:
            if self.redirects is not None:
                self.redirects.limiter = limits.limiter
            state = self._state(limits)
            call.renew_with(state.credential)
            call.listen(state.judge.listen(limits.limiter, current_clock()))
            engine = Engine(call, source, state)
            engine.counters.restore(self.counters)
            if self.faults is not None:
                self.faults.count_in(engine.counters)
            if self.flow.forget_pause:
                engine.counters.paused_until = 0.0
            pause = engine.counters.paused_until - SYSTEM_CLOCK.wall()
            if pause > 0:
                limits.limiter.pause_until(SYSTEM_CLOCK.now() + pause)
            return await self._record(engine, sink, limits)

    async def _record(self, engine: Engine[T, Resp], sink: Sink[T, Resp], limits: SessionLimits) -> dict[str, Any]:
        sent_before = engine.counters.attempts
        folder = self.folder.path if self.recorded else None
        limiter = limits.limiter
        with SessionRecord(folder, limiter, set(engine.counters.by_kind), self.known) as record:
            record.begin(self.flow, total=self.total, resumed_at=self.resumed_at)
            driver = Driver(engine, sink, (*record.watchers, *self.watch(self.total, limiter)), record.examples)
            await driver.drive()
            self.final_counters = engine.counters.as_json(driver.elapsed)
            summary = self._summary(engine.counters, limits, driver, sent_before)
            record.end(summary)
        return summary

    def _state(self, limits: SessionLimits) -> EngineState:
        flow, limiter = self.flow, limits.limiter
        costs = keys = None
        if limits.by_key is not None and limits.key_of is not None:
            keys, limiter = KeyLines(limits.by_key, limits.key_of), RateLimiter()
        if flow.cost is not None:
            costs = Costs(limiter, CostEstimate(flow.cost), told_cost if flow.cost_actual is not None else None)
        follows = flow.limit_headers == "tighten" and keys is None
        judge = HttpJudge(flow.retry_on, idempotent=self.idempotent, follow_limits=follows)
        return EngineState(
            flow,
            judge,
            limiter=limiter,
            keys=keys,
            costs=costs,
            credential=self.given.token,
            credential_names=tuple(f"${{{name}}}" for name in self.given.values),
            one_host=self.one_host,
        )

    def _summary(
        self, counters: RunCounters, limits: SessionLimits, driver: Driver[T, Resp], sent_before: int
    ) -> dict[str, Any]:
        return summarise(
            counters,
            limits.limiter,
            limits=limits.used(self.flow.limit_by),
            total=self.total,
            elapsed=driver.elapsed,
            sent_before=sent_before,
            resumed_at=self.resumed_at,
            complete=driver.complete,
        )
