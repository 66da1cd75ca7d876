"""Second calls of a run: when they may be made, and how they are counted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..clock import current_clock
from ..limits.limiter import RateLimiter
from ..rules.in_flight.limit import InFlightLimit
from ..rules.retries.circuit import Circuit, CircuitState
from ..rules.retries.verdict import Verdict
from .counters import RunCounters
from .endings import Judge


class SecondCalls:
    """The HedgeGuard of a run: only what may be repeated, only where there is room, only while all is well."""

    def __init__(
        self,
        may_repeat: Callable[[Any], bool],
        *,
        judge: Judge,
        limiter: RateLimiter,
        circuit: Circuit,
        ceiling: InFlightLimit,
        adaptive: bool,
        counters: RunCounters,
    ) -> None:
        self.may_repeat = may_repeat
        self._judge = judge
        self._limiter = limiter
        self._circuit = circuit
        self._ceiling = ceiling
        self._adaptive = adaptive
        self._counters = counters

    def is_good(self, request: Any, answer: Any) -> bool:
        """See HedgeGuard."""
        what = self._judge(request, answer, None)
        return what is None or what.verdict is Verdict.SUCCESS

    def may_send(self) -> bool:
        """See HedgeGuard. A permit must be there at once: a limit that is full has better uses for it."""
        counters = self._counters
        most = self._ceiling.now
        if self._adaptive:
            # Slots are always taken where nothing else holds the traffic back; the ceiling is an estimate of ours.
            most += max(1, most // 20)
        if self._circuit.state is not CircuitState.CLOSED or self._circuit.streak or counters.in_flight >= most:
            return False
        if not self._limiter.try_once(current_clock().now()):
            return False
        counters.hedges += 1
        counters.sent(again=False)
        return True

    def ended(self) -> None:
        """See HedgeGuard."""
        self._counters.in_flight -= 1
