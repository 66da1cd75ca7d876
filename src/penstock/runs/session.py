"""One session of a durable run: limits, engine, record and driver put together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ..clock import SYSTEM_CLOCK
from ..engine.costs import CostEstimate, told_cost
from ..engine.counters import RunCounters
from ..engine.engine import Engine
from ..engine.run import run
from ..limits.limiter import RateLimiter
from .client import RedirectPermits
from .driver import Driver, Sink, Watcher
from .flow import Flow
from .run_folder import RunFolder
from .session_limits import KeyOf, SessionLimits, open_limits
from .sessions import SessionRecord
from .summary import summarise


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
    watch: Callable[[int | None, RateLimiter], tuple[Watcher, ...]] = lambda total, limiter: ()
    known: Callable[[], dict[str, Any]] = dict
    """What the command knows beside the counters, such as a `total` that is only told on the way; for the report."""
    redirects: RedirectPermits | None = None
    key_of: KeyOf | None = None
    """What `flow.limit_by` says an item's key is."""
    one_host: bool = True
    """Whether all calls go to the same host."""
    recorded: bool = True
    """Whether it is part of what `penstock report` shows of the run."""
    final_counters: dict[str, Any] = field(default_factory=dict)
    """The counters at the end of this session."""

    async def carry_out(self, call: Any, source: Any, sink: Sink) -> dict[str, Any]:
        """Run to the end, or to where it is stopped; returns the summary. Raises StorageError."""
        flow = self.flow
        with open_limits(
            self.folder.path,
            flow.limits,
            flow.guard,
            cost_limits=flow.cost_limits,
            follow_server=flow.limit_auto,
            key_of=self.key_of,
            by=flow.limit_by,
        ) as limits:
            if self.redirects is not None:
                self.redirects.limiter = limits.limiter
            listen = getattr(call, "listen", None)
            if listen is not None and flow.limit_headers == "tighten" and limits.by_key is None:
                listen(limits.limiter)
            engine = self._engine(call, source, limits)
            engine.counters.restore(self.counters)
            pause = engine.counters.paused_until - SYSTEM_CLOCK.wall()
            if pause > 0:
                limits.limiter.pause_until(SYSTEM_CLOCK.now() + pause)
            return await self._record(engine, sink, limits)

    async def _record(self, engine: Engine[Any, Any], sink: Sink, limits: SessionLimits) -> dict[str, Any]:
        sent_before = engine.counters.attempts
        folder = self.folder.path if self.recorded else None
        limiter, by = limits.limiter, self.flow.limit_by
        with SessionRecord(folder, limiter, set(engine.counters.by_kind), self.known) as record:
            record.begin(
                command=self.flow.command,
                limits=[f"{limit} for each {by}" if by else str(limit) for limit in self.flow.limits],
                total=self.total,
                resumed_at=self.resumed_at,
                max_outage=self.flow.max_outage,
            )
            driver = Driver(engine, sink, (*record.watchers, *self.watch(self.total, limiter)), record.examples)
            await driver.drive()
            self.final_counters = engine.counters.as_json(driver.elapsed)
            summary = self._summary(engine.counters, limits, driver, sent_before)
            record.end(summary)
        return summary

    def _engine(self, call: Any, source: Any, limits: SessionLimits) -> Engine[Any, Any]:
        flow = self.flow
        return run(
            call,
            source,
            retry_on=flow.retry_on,
            idempotent=self.idempotent,
            limit=limits.limiter if limits.by_key is None else limits.by_key,
            limit_by=limits.key_of,
            limit_headers=flow.limit_headers,
            cost=CostEstimate(flow.cost) if flow.cost is not None else None,
            actual_cost=told_cost if flow.cost_actual is not None else None,
            max_in_flight=flow.in_flight,
            max_attempts=flow.max_attempts,
            attempt_timeout=flow.attempt_timeout,
            total_timeout=flow.total_timeout,
            retry_budget=flow.retry_budget,
            max_outage=flow.max_outage,
            one_host=self.one_host,
            hedge=flow.hedge,
        )

    def _summary(
        self, counters: RunCounters, limits: SessionLimits, driver: Driver, sent_before: int
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
