"""Outages: the circuit of a run, its probes, and how the traffic comes back."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from ..clock import Clock, call_at
from ..errors import Outage
from ..rules.retries.circuit import MOST_PROBES, CircuitState, Sign, sign_of, sure_after
from ..rules.retries.verdict import Classified
from .long_waits import asked_to_wait
from .outcome import Item
from .slots import Slots
from .state import EngineState
from .work import Work

T = TypeVar("T")

_STEP_SECONDS = 0.05


class Outages(Generic[T]):
    """Tells the circuit what it has to know, and stands before the work as its gate while the circuit is not closed."""

    parks = False

    def __init__(self, state: EngineState, *, work: Work[T], slots: Slots[T]) -> None:
        self.circuit = state.circuit
        self._state = state
        self._counters = state.counters
        self._work = work
        self._slots = slots
        self._ceiling_before = 0
        self._probe_wanted = False
        self._probes = 0
        self._latest = ""
        self._asked_too_much = False
        self._timer: asyncio.TimerHandle | None = None
        self._clock: Clock
        self._give_up: Callable[[Outage], None]

    def open(self, clock: Clock, give_up: Callable[[Outage], None]) -> None:
        """Before the first attempt. `give_up` is told when the host has been down for too long."""
        self._clock = clock
        self._give_up = give_up

        self._state.limiter.watch(self._paused)

    def end(self) -> None:
        """After the last attempt."""
        self.close()
        self._state.limiter.unwatch(self._paused)

    def close(self) -> None:
        """Forget the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # -- what endings tell --------------------------------------------------------------------------------------------

    def succeeded(self, began: float, now: float) -> None:
        """An attempt that began at `began` had an answer; only asked for where the circuit is troubled."""
        self.circuit.answered(now, sent_at=began)
        self._follow(now)

    def felt(self, item: Item[T], what: Classified, began: float, now: float) -> None:
        """An attempt that began at `began` failed."""
        sign = sign_of(what)
        circuit = self.circuit
        if sign is Sign.ANSWERS:
            if circuit.troubled:
                self.succeeded(began, now)
        elif sign is not Sign.NOTHING:
            trouble = item.in_trouble()
            if circuit.streak == 0:
                self._ceiling_before = self._state.ceiling.now
            self._latest = f"{what.kind}: {what.message}"
            fresh = trouble.era != circuit.era
            refused = sign is Sign.REFUSES
            sure = math.inf if refused else sure_after(what)
            circuit.failed(now, sent_at=began, fresh=fresh, refused=refused, sure_after=sure)
            trouble.era = circuit.era
            self._follow(now)

    def excuses(self, item: Item[T], what: Classified, began: float) -> bool:
        """Whether an attempt that failed, and may be repeated, does not count, because of the state of the host."""
        if not self.circuit.excuses(began) or sign_of(what) not in (Sign.DOWN, Sign.REFUSES):
            return False
        # No era: it is excused, and its time begins anew when it is taken again.
        trouble = item.in_trouble()
        trouble.era = -1
        trouble.owes = False
        return True

    def waits_too_long(self) -> bool:
        """Whether the run has ended, or ends now, because the peer asked for a longer pause than it waits for."""
        self._paused(self._state.limiter.paused_until)
        return self._asked_too_much

    def _paused(self, until: float) -> None:
        now, longest = self._clock.now(), self._state.settings.longest_wait
        if until - now <= longest or self._work.stopping:
            return
        self._asked_too_much = True
        wall = self._clock.wall()
        # Whatever told it: the next session is not to ask again.
        self._counters.paused_until = max(self._counters.paused_until, wall + until - now)
        self._give_up(asked_to_wait(wall + until - now, wall, longest))

    # -- the gate -----------------------------------------------------------------------------------------------------

    def admits(self) -> bool:
        """Whether one item may go through: all while the host is up, else one probe at a time."""
        if self.parks:
            return self._probe_wanted
        # Probes that are still not answered say nothing about how many the host can take now.
        busy = self._slots.busy - self._probes
        return busy <= self.circuit.allowance(self._clock.now())

    def took(self, item: Item[Any]) -> None:
        """`item` goes through; while the host is down it is the probe that was wanted."""
        if not self.parks:
            return
        self._probe_wanted = False
        self._probes += 1
        self._counters.probes += 1
        item.in_trouble().probe = True
        self.circuit.probe_sent(self._clock.now(), self._state.chance())
        self._arm()

    def stops(self, item: Item[T]) -> bool:
        """Whether `item`, which was taken before, must not be sent now; it is parked then."""
        if not self.parks or (item.trouble is not None and item.trouble.probe):
            return False
        self._work.park(item)
        return True

    def probed(self, item: Item[T]) -> None:
        """The attempt of `item` is over; if it was a probe, it is none any more."""
        if item.trouble is not None and item.trouble.probe:
            item.trouble.probe = False
            self._probes -= 1

    # -- the circuit's state ------------------------------------------------------------------------------------------

    def _follow(self, now: float) -> None:
        """Do what a change of the circuit's state asks for."""
        state = self.circuit.state
        if state is CircuitState.OPEN and not self.parks:
            self._opened(now)
        elif state is CircuitState.TRIAL and self.parks:
            self.parks = False
            self._probe_wanted = False
            self._state.schedule.hold(now)
            self._counters.outage_since = None
            self._counters.outage_reason = ""
            self._work.hold(self)
            self._slots.seek()
            self._arm()
        elif state is CircuitState.CLOSED and self._work.gate is not None:
            self._work.let_go()
            self._slots.seek()

    def _opened(self, now: float) -> None:
        self.parks = True
        self._counters.outages += 1
        self._counters.outage_since = self._clock.wall() - (now - self.circuit.failing_since)
        self._counters.outage_reason = self._latest
        self._work.hold(self)
        if self._state.limiter.windows:
            # A host that is down says nothing about how much it can take when it is up.
            self._state.ceiling.now = max(self._state.ceiling.now, self._ceiling_before)
        # Whoever waits for a permit gives up its place, and is parked.
        self._state.limiter.dismiss(self._slots)
        self._arm()

    def _arm(self) -> None:
        self.close()
        now = self._clock.now()
        if self._work.stopping or self.circuit.state is CircuitState.CLOSED:
            return
        when = now + _STEP_SECONDS
        if self.parks:
            when = self.circuit.failing_since + self._state.settings.max_outage
            if not self._probe_wanted:
                when = min(when, max(self.circuit.next_probe, now + _STEP_SECONDS))
        self._timer = call_at(self._clock, when, self._tick)

    def _tick(self) -> None:
        self._timer = None
        if self._work.stopping:
            return
        now = self._clock.now()
        self.circuit.tick(now)
        self._follow(now)
        if self.parks:
            down = now - self.circuit.failing_since
            if down >= self._state.settings.max_outage:
                self._give_up(Outage(self._say(down), seconds=down))
                return
            if now >= self.circuit.next_probe and self._probes < MOST_PROBES:
                self._probe_wanted = True
        self._slots.seek()
        self._arm()

    def _say(self, seconds: float) -> str:
        return (
            f"the host has not answered for {seconds:,.0f} s ({self._latest}); no item is lost, and the same command "
            "goes on from there"
        )
