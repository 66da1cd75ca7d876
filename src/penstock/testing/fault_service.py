"""What the fault server decides and counts, apart from how it speaks HTTP."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson

from .arrivals import ArrivalsLog
from .fault_answers import Fault, Reply, build, fault_for_kind, plain_answer, refusal, too_many
from .faults import FaultLedger, FaultPlan, item_identity
from .latency import Latency
from .limiters import Limiter

Answer = Callable[[bytes], bytes]


class ServedRequest:
    """A request as the server saw it. `method` and `headers` (names in lower case) only with `respond`."""

    __slots__ = ("body", "headers", "method", "target")

    def __init__(self, target: bytes, body: bytes) -> None:
        self.target = target
        self.body = body
        self.method = ""
        self.headers: dict[str, str] = {}

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

    def arrive(self, request: ServedRequest, now: float) -> Fault | None:
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
        kind = self._ledger.take(item_identity(request.target, request.body))
        return None if kind is None else fault_for_kind(kind, self._ledger.plan)

    def answer(self, request: ServedRequest) -> bytes:
        """Return the API's own answer, and count it."""
        understood, wire = self._compose(request)
        self.answered += understood
        return wire

    def torn_answer(self, request: ServedRequest) -> bytes:
        """Return the first half of an answer: the whole head, unless there is no body to lack."""
        wire = self._compose(request)[1]
        head = wire.index(b"\r\n\r\n") + 4
        return wire[: min(head + (len(wire) - head) // 2, len(wire) - 1)]

    def _compose(self, request: ServedRequest) -> tuple[bool, bytes]:
        try:
            if self._respond is not None:
                return True, self._respond(request).wire()
            return True, plain_answer(self._answer(request.body))
        except ValueError as error:
            self.bad_requests += 1
            return False, refusal(400, str(error))

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
