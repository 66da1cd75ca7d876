"""What `send` and `check` have in common: options of the flow, the client, and one durable session of a run."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..clock import SYSTEM_CLOCK
from ..errors import UsageError
from ..layers.rate_limit import RateLimiter
from ..messages import Request
from ..rules.outcome import RetryOn
from ..rules.rate import Limit
from ..wire import Client
from .counters import Counters
from .drive import Driver, Sink, Watcher
from .engine import Engine
from .limit_log import LimitLog
from .run import run
from .run_folder import RunFolder
from .series import Series
from .summary import summarise


@dataclass(frozen=True, slots=True)
class Flow:
    """How much flows, and how patiently. Durations in seconds, sizes in bytes."""

    limits: tuple[Limit, ...] = ()
    in_flight: int | Literal["auto"] = "auto"
    attempt_timeout: float = 30.0
    total_timeout: float = 600.0
    connect_timeout: float = 10.0
    max_attempts: int = 5
    retry_on: RetryOn = RetryOn.SAFE
    guard: float | None = None
    max_response_bytes: int = 64 << 20
    follow_redirects: int = 0
    ca_file: Path | None = None
    proxy: str | None = None


@dataclass(slots=True)
class Session:
    """One session of a durable run: what it works with, and what came of it."""

    flow: Flow
    folder: RunFolder
    total: int
    idempotent: bool
    counters: dict[str, Any] = field(default_factory=dict)
    """As of the last commit of the session before."""
    resumed_at: int = 0
    """Items that were done when the session began."""
    watch: Callable[[int, RateLimiter], tuple[Watcher, ...]] = lambda total, limiter: ()
    final_counters: dict[str, Any] = field(default_factory=dict)
    """The counters at the end of this session."""

    async def carry_out(self, call: Any, source: Any, sink: Sink) -> dict[str, Any]:
        """Run to the end, or to where it is stopped; returns the summary. Raises StorageError."""
        log = LimitLog(self.folder.path, self.flow.limits, self.flow.guard)
        try:
            limiter = RateLimiter(log.windows)
            engine = self._engine(call, source, limiter)
            engine.counters.restore(self.counters)
            pause = engine.counters.paused_until - SYSTEM_CLOCK.wall()
            if pause > 0:
                limiter.pause_until(SYSTEM_CLOCK.now() + pause)
            sent_before = engine.counters.attempts
            series = Series(self.folder.path / "series.jsonl")
            driver = Driver(engine, sink, (series, *self.watch(self.total, limiter)))
            try:
                await driver.drive()
            finally:
                series.close()
            self.final_counters = engine.counters.as_json(driver.elapsed)
            return self._summary(engine.counters, limiter, driver, sent_before)
        finally:
            log.close()

    def _engine(self, call: Any, source: Any, limiter: RateLimiter) -> Engine[Any, Any]:
        flow = self.flow
        return run(
            call,
            source,
            retry_on=flow.retry_on,
            idempotent=self.idempotent,
            limit=limiter,
            max_in_flight=flow.in_flight,
            max_attempts=flow.max_attempts,
            attempt_timeout=flow.attempt_timeout,
            total_timeout=flow.total_timeout,
        )

    def _summary(self, counters: Counters, limiter: RateLimiter, driver: Driver, sent_before: int) -> dict[str, Any]:
        return summarise(
            counters,
            limiter,
            total=self.total,
            elapsed=driver.elapsed,
            sent_before=sent_before,
            resumed_at=self.resumed_at,
            complete=driver.complete,
        )


def make_client(flow: Flow) -> Any:
    """The wire's client, or the adapter for what it leaves out (proxies)."""
    if flow.proxy is not None:
        from ..clients.aiohttp import AiohttpClient

        return AiohttpClient(
            proxy=flow.proxy,
            connect_timeout=flow.connect_timeout,
            max_response_bytes=flow.max_response_bytes,
            follow_redirects=flow.follow_redirects,
            tls=_tls(flow.ca_file),
        )
    return Client(
        connect_timeout=flow.connect_timeout,
        max_response_bytes=flow.max_response_bytes,
        follow_redirects=flow.follow_redirects,
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
