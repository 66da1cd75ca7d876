"""What `send` and `check` have in common: options of the flow, the client, and one durable session of a run."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..clock import SYSTEM_CLOCK
from ..errors import UsageError
from ..layers.deadline import DeadlineHeader
from ..layers.rate_limit import RateLimiter
from ..messages import Request
from ..rules.cost import CostWindow
from ..rules.outcome import RetryOn
from ..rules.rate import Limit
from ..wire import Client
from .costs import CostEstimate, told_cost
from .counters import Counters
from .drive import Driver, Sink, Watcher
from .engine import Engine
from .run import run
from .run_folder import RunFolder
from .session_limits import KeyOf, SessionLimits, open_limits
from .sessions import SessionRecord
from .summary import summarise


@dataclass(frozen=True, slots=True)
class Flow:
    """How much flows, and how patiently. Durations in seconds, sizes in bytes.

    `limits` hold in every window; with `limit_auto` they are what the server tells, and may also rise with it.
    `limit_by` gives each host, or each value of a field, limits of its own. `cost_limits` bound the sum of costs:
    `cost` (a number, or the field that holds it) is the estimate, `cost_actual` (JMESPath) finds the real one in the
    answer. `retry_budget` is the share of the traffic that may be retries, `max_outage` how long a host may be down
    before the run stops, `hedge` the quantile of the latency after which a second call is made. `deadline_header`
    names the header that tells the peer how long its answer is waited for. `command` is what the user typed, without
    its secrets.
    """

    limits: tuple[Limit, ...] = ()
    limit_auto: bool = False
    limit_headers: Literal["tighten", "ignore"] = "tighten"
    limit_by: str | None = None
    cost_limits: tuple[Limit, ...] = ()
    cost: str | None = None
    cost_actual: str | None = None
    in_flight: int | Literal["auto"] = "auto"
    attempt_timeout: float = 60.0
    total_timeout: float = 600.0
    connect_timeout: float = 10.0
    max_attempts: int = 5
    max_outage: float = 6 * 3600.0
    retry_budget: float = 0.2
    retry_on: RetryOn = RetryOn.SAFE
    hedge: float | None = None
    deadline_header: str | None = None
    guard: float | None = None
    max_response_bytes: int = 64 << 20
    follow_redirects: int = 0
    ca_file: Path | None = None
    proxy: str | None = None
    command: tuple[str, ...] = ()


class RedirectPermits:
    """A permit for each redirect that is followed: it is a send like any other. None before the session has limits."""

    def __init__(self) -> None:
        self.limiter: RateLimiter | None = None

    async def __call__(self) -> None:
        """Wait for it."""
        if self.limiter is not None:
            await self.limiter.acquire()


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

    def _summary(self, counters: Counters, limits: SessionLimits, driver: Driver, sent_before: int) -> dict[str, Any]:
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


def make_client(flow: Flow, before_redirect: RedirectPermits | None = None) -> Any:
    """The wire's client, or the adapter for what it leaves out (proxies)."""
    client = _client(flow, before_redirect)
    return client if flow.deadline_header is None else DeadlineHeader(client, flow.deadline_header)


def _client(flow: Flow, before_redirect: RedirectPermits | None) -> Any:
    if flow.proxy is not None:
        from ..clients.aiohttp import AiohttpClient

        return AiohttpClient(
            proxy=flow.proxy,
            connect_timeout=flow.connect_timeout,
            max_response_bytes=flow.max_response_bytes,
            follow_redirects=flow.follow_redirects,
            before_redirect=before_redirect,
            tls=_tls(flow.ca_file),
        )
    return Client(
        # A repeat would be a send that no limit has permitted; the engine tries again, under the limit.
        repeat_stale=False,
        connect_timeout=flow.connect_timeout,
        max_response_bytes=flow.max_response_bytes,
        follow_redirects=flow.follow_redirects,
        before_redirect=before_redirect,
        tls=_tls(flow.ca_file),
    )


def _tls(ca_file: Path | None) -> ssl.SSLContext | None:
    if ca_file is None:
        return None
    try:
        return ssl.create_default_context(cafile=str(ca_file))
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"--ca-file {ca_file}: {error.strerror if isinstance(error, OSError) else error}") from error


async def knock(client: Any, request: Request) -> None:
    """See that the host can be reached before a long run begins. Sends nothing. Raises UsageError."""
    from ..errors import CallError

    prepare = getattr(client, "prepare", None)
    if prepare is None:
        return
    try:
        prepared = await prepare(request)
    except CallError as error:
        raise UsageError(f"cannot reach the host: {error} ({error.kind}); nothing was sent") from error
    prepared.release()


def check_flow(flow: Flow) -> None:
    """Raises UsageError for numbers that make no sense together."""
    if flow.max_attempts < 1:
        raise UsageError(f"--attempts must be at least 1, not {flow.max_attempts}")
    if flow.in_flight != "auto" and flow.in_flight < 1:
        raise UsageError(f"--in-flight must be auto or at least 1, not {flow.in_flight}")
    if flow.limit_auto and flow.limit_headers == "ignore":
        raise UsageError("--limit auto is what the server tells; it does not go with --limit-headers ignore")
    _check_costs(flow)
    if flow.limit_by is not None:
        _check_keys(flow)


def _check_keys(flow: Flow) -> None:
    if not flow.limits:
        raise UsageError("--limit-by says for whom each --limit holds; it needs one")
    others = {
        "--limit auto": flow.limit_auto,
        "--cost-limit": bool(flow.cost_limits),
        "--hedge": flow.hedge is not None,
        "--follow-redirects": flow.follow_redirects > 0,
        "a --limit with a name": any(limit.name for limit in flow.limits),
    }
    for other, given in others.items():
        if given:
            raise UsageError(f"--limit-by does not go with {other}, which would be for all keys together")


def _check_costs(flow: Flow) -> None:
    if not flow.cost_limits:
        if flow.cost is not None or flow.cost_actual is not None:
            raise UsageError("--cost and --cost-actual say what a call costs; without --cost-limit they are of no use")
        return
    if flow.cost is None:
        raise UsageError("--cost-limit needs --cost: what one call costs, or the field that says so")
    if flow.hedge is not None:
        raise UsageError("--hedge does not go with --cost-limit: second calls would cost, too")
    estimate = CostEstimate(flow.cost)
    for limit in flow.cost_limits:
        if limit.name:
            raise UsageError(f"--cost-limit {limit}: limits on costs cannot be shared by name")
        if estimate.fixed is not None:
            CostWindow(limit).earliest(estimate.fixed)
