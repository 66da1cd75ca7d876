"""Failed outcomes on their way out: counted, and held back while it is open whether the credential is dead.

What is refused for its credential is no outcome yet. A good answer to a call that was sent after the refusal came shows
that it was for a reason of the item's own, and makes a failure of it; a call that was under way shows nothing, because
credentials die meanwhile, and whichever was sent first need not have been looked at first. So many refusals in a row
that the credential must be dead end the run, and what was held back is left for the next session, as if it had not been
sent.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from ..call import Resp
from ..clock import Clock, call_at
from ..errors import Denied, PenstockError, TooManyFailures
from ..rules.retries.denied import DOUBT_SECONDS, Streak
from .outcome import Outcome
from .renewals import Renewals
from .results import Results
from .slots import Slots
from .state import EngineState
from .work import Work

T = TypeVar("T")

MOST_HELD = 1000
"""Outcomes; of more, the first are failures."""

_LOOK_SECONDS = 0.25
"""How often it is seen to that nothing is held back while nothing else is under way."""


class Failures(Generic[T, Resp]):
    """Takes every failed outcome of a run; stands before the work while it is not known whether the credential is good.

    `troubled`: whether it wants to know of good answers.
    """

    def __init__(
        self,
        state: EngineState,
        *,
        work: Work[T],
        slots: Slots[T],
        results: Results[Outcome[T, Resp]],
        renewals: Renewals[T] | None,
    ) -> None:
        self._renewals = renewals
        self._streak = Streak(state.settings.stop_after_denied)
        self._most = state.settings.stop_after_failures
        self._credentials = state.credential_names
        self._schedule = state.schedule
        self._counters = state.counters
        self._work = work
        self._slots = slots
        self._results = results
        self._held: deque[tuple[float, Outcome[T, Resp]]] = deque()
        self._failed = 0
        self._held_up_at = math.inf
        self._sent_before = 0
        self._timer: asyncio.TimerHandle | None = None
        self._clock: Clock
        self._give_up: Callable[[PenstockError], None]
        self.troubled = not self._streak.trusted

    def open(self, clock: Clock, give_up: Callable[[PenstockError], None]) -> None:
        """Before the first attempt. `give_up` is told when the run is to end."""
        self._clock = clock
        self._give_up = give_up
        self._sent_before = self._counters.attempts
        if self.troubled:
            self._work.doubts.append(self)

    def close(self) -> None:
        """After the last."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # -- what endings tell --------------------------------------------------------------------------------------------

    def passed(self, sent: float) -> None:
        """The answer to a call sent at `sent` showed that the credential is good; only asked where there is trouble."""
        if self._renewals is not None:
            self._renewals.passed(sent)
        self._streak.passed()
        self._trust()
        self._release(until=sent)

    def renewing(self) -> None:
        """What was refused for its credential is asked again with another."""
        self.troubled = True

    def put(self, outcome: Outcome[T, Resp]) -> None:
        """A failure that says nothing of the credential."""
        self._failed += 1
        self._results.put(outcome)
        if self._failed == self._most:
            self._give_up(
                TooManyFailures(
                    f"{self._failed:,} items failed, and --stop-after-failures allows no more (the latest: "
                    f"{outcome.kind}: {outcome.message}); they stay failed, and the same command goes on with the "
                    "others",
                    count=self._failed,
                )
            )

    def denied(self, outcome: Outcome[T, Resp], now: float) -> None:
        """One that was refused for its credential, at `now`."""
        if self._streak.most == 0:
            self.put(outcome)
            return
        self._held.append((now, outcome))
        self.troubled = True
        enough = self._streak.denied()
        if self._work.stopping:
            self.release()
        elif enough:
            self._give_up(self._dead(outcome))
            self.release()
        else:
            if len(self._held) > MOST_HELD:
                self.put(self._held.popleft()[1])
            self._arm()

    def release(self) -> None:
        """Hold nothing back any more: these are failures, or left where the run is to end."""
        self._release(until=math.inf)

    def _release(self, until: float) -> None:
        if self._work.stopping:
            self._held.clear()
        while self._held and self._held[0][0] <= until:
            self.put(self._held.popleft()[1])
        self.troubled = bool(self._held) or not self._streak.trusted

    @property
    def holds(self) -> bool:
        """Whether anything is held back."""
        return bool(self._held)

    def _dead(self, latest: Outcome[T, Resp]) -> Denied:
        count, names = self._streak.count, ", ".join(self._credentials)
        new = f"a new value of {names}" if names else "a new credential"
        return Denied(
            f"the credential was refused {count} times in a row (the latest: {latest.message}), so the rest was not "
            f"asked for, and no item is lost; with {new} the same command goes on from there (--token-command CMD gets "
            "one by itself, --stop-after-denied 0 goes on in spite of it)",
            count=count,
            status=latest.status,
        )

    # -- the gate -----------------------------------------------------------------------------------------------------

    def admits(self) -> bool:
        """Whether one item more may be taken up while nobody knows that the credential is good."""
        if self._streak.has_room(self._slots.busy + (0 if self._renewals is None else self._renewals.waiting)):
            return True
        self._held_up_at = min(self._held_up_at, self._clock.now())
        self._arm()
        return False

    def _trust(self) -> None:
        if self not in self._work.doubts:
            return
        self._work.doubts.remove(self)
        self._streak.trusted = True
        if self._held_up_at < math.inf:
            # They were held up by us, and not by the API.
            self._schedule.hold(self._clock.now())
            self._slots.seek()

    # -- time ---------------------------------------------------------------------------------------------------------

    def _arm(self) -> None:
        if self._timer is None:
            self._timer = call_at(self._clock, self._clock.now() + _LOOK_SECONDS, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._work.stopping:
            return
        if self._renewals is not None and self._renewals.waiting:
            # It is no fault of the API that it takes so long.
            self._held_up_at = self._clock.now()
        held_up = self._clock.now() - self._held_up_at
        sent = self._counters.attempts > self._sent_before
        if sent and held_up >= DOUBT_SECONDS and self._streak.looks_slow():
            self._trust()
        if self._held and self._slots.at_rest():
            # Whoever waits for these before it asks for more would wait for ever.
            if self._work.ahead.feeds_back and self._streak.is_enough_at_rest():
                self._give_up(self._dead(self._held[-1][1]))
            self.release()
        if self._held or self in self._work.doubts:
            self._arm()
