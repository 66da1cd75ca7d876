"""What the fault server decides and counts, apart from how it speaks HTTP."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson

from .arrivals import ArrivalsLog
from .fault_answers import PLAIN_ANSWER, Fault, Reply, build, fault_for_kind, refusal, too_many
from .faults import FaultLedger, FaultPlan, item_identity
from .latency import Latency
from .limiters import Limiter

Answer = Callable[[bytes], bytes]


class ServedRequest:
    """A request as a `respond` function sees it. Names of `headers` are in lower case."""

    __slots__ = ("body", "headers", "method", "target")

    def __init__(self, method: str, target: bytes, headers: dict[str, str], body: bytes) -> None:
        self.method = method
        self.target = target
        self.headers = headers
        self.body = body

    def __repr__(self) -> str:
        return f"<ServedRequest {self.method} {self.target!r} {len(self.body)} B>"


Respond = Callable[[ServedRequest], Reply]


@dataclass(frozen=True, slots=True)
class ServerStatistics:
    """A copy of the server's counters at one moment. GET /health and /stats are not counted."""

    requests: int
    """Complete requests that arrived."""
    answered: int
    """Answers of the API itself, without any fault but a slow body."""
    injected: dict[str, int] = field(default_factory=dict)
    """Faults by kind, counted when their request arrived."""
    limit_violations: int = 0
    """Requests that the limiter refused with 429; not among the injected."""
    abandoned: int = 0
    """Requests whose client went away before the answer, other than at a hang."""
    bad_requests: int = 0
    """What was not HTTP, or what the API could not read (400)."""
    in_flight: int = 0
    """Requests that wait for their answer. What is answered at zero latency never does."""
    max_in_flight: int = 0
    connections_opened: int = 0
    connections_open: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return the counters as JSON values."""
        return dataclasses.asdict(self)


class Service:
    """Limiter, faults, answers and counters of one server; its connections share it."""

    def __init__(
        self,
        *,
        limiter: Limiter | None,
        latency: Latency,
        faults: FaultPlan,
        answer: Answer,
        respond: Respond | None,
        seed: int,
    ) -> None:
        self._limiter = limiter
        self.latency: Callable[[], float] | None = None if latency.is_zero else latency.sampler(seed)
        self._ledger = None if faults.is_empty else FaultLedger(faults)
        self._answer = answer
        self._respond = respond
        self.inspects = respond is not None
        # Takes a body, or a ServedRequest where `inspects`, to a whole answer, and counts it. A ValueError of
        # the test's own function means that the request is wrong: 400.
        self.answer: Callable[[Any], bytes] = self._answer_body if respond is None else self._answer_request
        self.log: ArrivalsLog | None = None
        self.slow_body_seconds = faults.slow_body_seconds
        self.connections: set[Any] = set()
        self.connections_opened = 0
        self.requests = 0
        self.answered = 0
        self.limit_violations = 0
        self.bad_requests = 0
        self.abandoned = 0
        self.in_flight = 0
        self.max_in_flight = 0

    def arrive(self, target: bytes, body: bytes, now: float) -> Fault | None:
        """Count the arrival at `now` (monotonic seconds); returns what is to be done instead of an answer."""
        self.requests += 1
        if self.log is not None:
            self.log.append(now)
        if self._limiter is not None:
            wait = self._limiter.arrive(now)
            if wait is not None:
                self.limit_violations += 1
                return Fault("limit", too_many(wait), at_once=True)
        if self._ledger is None:
            return None
        kind = self._ledger.take(item_identity(target, body))
        return None if kind is None else fault_for_kind(kind, self._ledger.plan)

    def torn_answer(self, request: Any) -> bytes:
        """Return the first half of an answer: the whole head, unless there is no body to lack."""
        answered = self.answered
        wire = self.answer(request)
        self.answered = answered
        head = wire.index(b"\r\n\r\n") + 4
        return wire[: min(head + (len(wire) - head) // 2, len(wire) - 1)]

    def _answer_body(self, body: bytes) -> bytes:
        try:
            answer = self._answer(body)
        except ValueError as error:
            return self._refuse(error)
        self.answered += 1
        return PLAIN_ANSWER % (len(answer), answer)

    def _answer_request(self, request: ServedRequest) -> bytes:
        assert self._respond is not None
        try:
            wire = self._respond(request).wire()
        except ValueError as error:
            return self._refuse(error)
        self.answered += 1
        return wire

    def _refuse(self, error: ValueError) -> bytes:
        self.bad_requests += 1
        return refusal(400, str(error))

    def special(self, target: bytes) -> Fault:
        """Return the answer to GET /health and GET /stats, which no fault and no limit touches."""
        body = orjson.dumps(self.statistics().as_dict() if target == b"/stats" else {"status": "ok"})
        return Fault("special", build(200, body, {"Content-Type": "application/json"}), at_once=True)

    def statistics(self) -> ServerStatistics:
        """Return a copy of the counters."""
        return ServerStatistics(
            requests=self.requests,
            answered=self.answered,
            injected={} if self._ledger is None else dict(sorted(self._ledger.injected.items())),
            limit_violations=self.limit_violations,
            abandoned=self.abandoned,
            bad_requests=self.bad_requests,
            in_flight=self.in_flight,
            max_in_flight=self.max_in_flight,
            connections_opened=self.connections_opened,
            connections_open=len(self.connections),
        )

    def __repr__(self) -> str:
        return f"requests={self.requests} in_flight={self.in_flight} connections={len(self.connections)}"
