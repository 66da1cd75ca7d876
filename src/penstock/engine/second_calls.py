"""Second calls of a run: when they may be made, and how they are counted."""

from __future__ import annotations

from ..clock import current_clock
from ..rules.retries.circuit import CircuitState
from .state import EngineState


class SecondCalls:
    """The HedgeGuard of a run: only what may be repeated, only where there is room, only while all is well."""

    def __init__(self, state: EngineState) -> None:
        self.may_repeat = state.judge.may_repeat
        self.is_good = state.judge.is_good
        self._state = state

    def may_send(self) -> bool:
        """Whether there is room for one now; its permit must be there at once: a full limit has better uses for it."""
        state, counters = self._state, self._state.counters
        most = state.ceiling.now
        if state.adaptive:
            # Slots are always taken where nothing else holds the traffic back; the ceiling is an estimate of ours.
            most += max(1, most // 20)
        if state.circuit.state is not CircuitState.CLOSED or state.circuit.streak or counters.in_flight >= most:
            return False
        if not state.limiter.try_once(current_clock().now()):
            return False
        counters.hedges += 1
        counters.sent(again=False)
        return True

    def ended(self) -> None:
        """The second call is over."""
        self._state.counters.in_flight -= 1
