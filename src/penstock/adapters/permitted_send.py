"""One attempt of a request: connect, take a permit, send, and say what its ending means for all who wait.

In this order, because what comes after the permit makes the send late: a handshake between the two, and the peer sees
more in a window than was permitted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from ..answers.rules import AnswerRules
from ..call import AnyClient, Prepared
from ..clock import Clock
from ..errors import CallError
from ..layers.attempt_timer import AttemptTimer, timed_out
from ..layers.deadline import deadline_in
from ..messages import Request, Response
from ..observe.histogram import Histogram
from ..rules.limits.cost import read_cost
from ..rules.retries.verdict import RetryOn, classify_error
from .permits import Permits

_AHEAD = 32
"""So many calls connect before it is their turn: slow handshakes do not hold up the limit, and ten thousand calls that
wait do not hold ten thousand connections."""

Estimate = Callable[[Request], float]
Actual = Callable[[Response], float | None]


@dataclass(slots=True)
class SendCounters:
    """What was sent on one loop, and what came of it."""

    calls: int = 0
    attempts: int = 0
    throttled: int = 0
    failed: int = 0
    in_flight: int = 0
    service: Histogram = field(default_factory=Histogram)

    def add(self, other: SendCounters) -> None:
        """Count what `other` counted, too."""
        self.calls += other.calls
        self.attempts += other.attempts
        self.throttled += other.throttled
        self.failed += other.failed
        self.in_flight += other.in_flight
        self.service.merge(other.service)


class PermittedSend:
    """A Call that sends once. Raises CallError, and StatusError with its `response` for an answer that is no success.

    `timeout` is in seconds, None for no bound.
    """

    def __init__(
        self,
        client: AnyClient[Request, Response],
        permits: Permits,
        answers: AnswerRules,
        clock: Clock,
        *,
        timeout: float | None,
        cost: Estimate | None = None,
        actual_cost: Actual | None = None,
    ) -> None:
        self._client = client
        self._permits = permits
        self._answers = answers
        self._clock = clock
        self._timeout = timeout
        self._cost = cost
        self._actual_cost = actual_cost
        # One timer for all attempts: a timer for each costs a tenth of a call.
        self._timer = AttemptTimer(timeout, clock)
        self._ahead = asyncio.Semaphore(_AHEAD)
        self.counters = SendCounters()

    async def __call__(self, request: Request) -> Response:
        """Send `request` as soon as the limits allow it."""
        cost = 0.0 if self._cost is None else self._cost(request)
        if self._client.ready(request) and self._permits.try_now(self._clock.now(), cost):
            return await self._send(self._client.once(request), cost)
        async with self._ahead:
            prepared = await self._prepare(request)
            try:
                await self._permits.acquire(cost)
            except BaseException:
                prepared.release()
                raise
        return await self._send(prepared.send(), cost)

    def close(self) -> None:
        """After the last."""
        self._timer.close()

    async def _send(self, sending: Awaitable[Response], cost: float) -> Response:
        counters = self.counters
        counters.attempts += 1
        counters.in_flight += 1
        sent = self._clock.now()
        try:
            response = await (sending if self._timeout is None else self._in_time(sending, self._timeout, sent))
        except BaseException:
            counters.failed += 1
            # Also where it was cancelled: whoever waits for what this one is told must not wait for what will not come.
            self._permits.heard(None, _NO_ANSWER, sent)
            raise
        finally:
            counters.in_flight -= 1
        counters.service.add(self._clock.now() - sent)
        self._settle(response, cost, sent)
        self._judge(response, sent)
        return response

    async def _in_time(self, sending: Awaitable[Response], timeout: float, sent: float) -> Response:
        task = asyncio.current_task()
        assert task is not None
        self._timer.start(task, sent)
        try:
            with deadline_in(timeout):
                return await sending
        except asyncio.CancelledError as error:
            if self._timer.expired(task):
                raise timed_out(timeout) from error
            raise
        finally:
            self._timer.stop(task)

    async def _prepare(self, request: Request) -> Prepared[Response]:
        if self._timeout is None:
            return await self._client.prepare(request)
        # It is not sent yet, so all of its time is left.
        with deadline_in(self._timeout):
            return await self._client.prepare(request)

    def _settle(self, response: Response, cost: float, sent: float) -> None:
        if self._actual_cost is None:
            return
        try:
            actual = read_cost(self._actual_cost(response))
        except Exception:  # noqa: BLE001  # an answer that does not say it is no reason to fail the call
            return
        if actual is not None:
            self._permits.settle(cost, actual, sent, self._clock.now())

    def _judge(self, response: Response, sent: float) -> None:
        failure = self._answers.error_of(response)
        if failure is None:
            self._permits.heard(response, None, sent)
            return
        # Whether it may be sent again is for the retry layer; who waits is told the same in either case.
        what = classify_error(failure, RetryOn.SAFE, idempotent=False)
        self.counters.throttled += what.kind == "throttled"
        self.counters.failed += 1
        self._permits.heard(response, what, sent)
        failure.response = response
        try:
            raise failure
        finally:
            del failure  # the frame would keep what keeps the frame


_NO_ANSWER = classify_error(CallError("no answer"), RetryOn.NONE, idempotent=False)
