"""The engine: every item through a call, at the limit, in flat memory, one outcome each.

::

    source -> work -+-> slot (in flight) -> limits -> attempt timeout -> call -> ending -> results
                    |                                                      |
           delay queue (retries) <-----------------------------------------+

`Work` says what is to be sent next, `Slots` are the tasks that do it, `Attempts` is what each of them does, `Endings`
what follows from it, and `Results` what waits for the consumer. The engine puts them together, and is what a user
iterates over.

Everything here runs on one event loop; the fields are only touched between awaits, so there are no locks.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Iterable
from typing import Any, Generic, TypeVar

from ..call import Preparable, Resp
from ..clock import Clock, current_clock
from ..errors import PenstockError, UsageError
from ..layers.hedge import Hedge
from ..rules.retries.hedge import Hedging
from .attempts import Attempts
from .endings import Endings
from .failures import Failures
from .feed import BatchSource
from .outages import Outages
from .outcome import Outcome
from .renewals import Renewals
from .results import Results
from .second_calls import SecondCalls
from .slots import Slots
from .state import EngineState
from .work import Work

T = TypeVar("T")


class Engine(Generic[T, Resp]):
    """One run of `items` through `call`. Use it as an async context manager and iterate over it once.

    Leaving the context early cancels what is in flight and waits for it; nothing keeps running afterwards.
    `stop()` ends it gently: nothing new is sent, what is in flight comes to its outcome.
    """

    def __init__(
        self,
        call: Preparable[T, Resp],
        items: Iterable[T] | AsyncIterable[T] | BatchSource[T],
        state: EngineState,
    ) -> None:
        self.counters = state.counters
        self._state = state
        self._work: Work[T] = Work(items, circuit=state.circuit, budget=state.budget, counters=state.counters)
        self._results: Results[Outcome[T, Resp]] = Results(state.settings.max_results, state.settings.max_result_bytes)
        self._slots: Slots[T] = Slots(self._work, self._results, state)
        self._outages: Outages[T] = Outages(state, work=self._work, slots=self._slots)
        self._renewals: Renewals[T] | None = None
        if state.credential is not None:
            self._renewals = Renewals(state.credential, work=self._work, slots=self._slots)
        self._failures: Failures[T, Resp] = Failures(
            state, work=self._work, slots=self._slots, results=self._results, renewals=self._renewals
        )
        self._endings: Endings[T, Resp] = Endings(
            state,
            work=self._work,
            outages=self._outages,
            results=self._results,
            failures=self._failures,
            renewals=self._renewals,
        )
        if state.settings.hedge is not None:
            call = Hedge(call, Hedging(state.settings.hedge), SecondCalls(state))
        self._attempts: Attempts[T, Resp] = Attempts(
            call, state, work=self._work, slots=self._slots, endings=self._endings, outages=self._outages
        )
        self._slots.attempt = self._attempts.make
        self._slots.began = self._attempts.began
        self._clock: Clock
        self._feeder: asyncio.Task[None] | None = None
        self._failure: PenstockError | None = None
        self._left = False
        self._complete = False

    # -- the context ----------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Engine[T, Resp]:
        clock = self._clock = current_clock()
        self._work.open(clock, self._slots.seek)
        self._attempts.open(clock, self._give_up, self._leave_some)
        self._endings.open(clock)
        self._outages.open(clock, self._give_up)
        self._failures.open(clock, self._give_up)
        if self._renewals is not None:
            self._renewals.open(clock, self._give_up)
        self.counters.began = clock.now()
        await self._slots.group.__aenter__()
        self._feeder = self._slots.start(self._feed())
        return self

    async def __aexit__(self, kind: Any, error: Any, trace: Any) -> None:
        self._complete = self._exhausted_well()
        self._work.stop()
        self._slots.cancel()
        if kind is not None and not issubclass(kind, asyncio.CancelledError):
            # What the body raised goes on up as it is; the group would wrap it.
            kind = error = trace = None
        try:
            await self._slots.group.__aexit__(kind, error, trace)
        finally:
            self._attempts.close()
            self._outages.end()
            self._failures.close()
            if self._renewals is not None:
                self._renewals.close()
            self._slots.idle.clear()
            self._left = True

    def __aiter__(self) -> Engine[T, Resp]:
        if self._feeder is None:
            raise UsageError("a run is a context: write `async with penstock.run(...) as outcomes`, then iterate")
        return self

    async def some(self) -> list[Outcome[T, Resp]]:
        """Outcomes that are there, at least one; none only at the end. Cheaper than one by one."""
        if not await self._wait_for_results():
            return []
        outcomes = self._results.take_some()
        for outcome in outcomes:
            self.counters.count(outcome)
        self._slots.seek()
        return outcomes

    async def __anext__(self) -> Outcome[T, Resp]:
        if not self._results and not await self._wait_for_results():
            raise StopAsyncIteration
        full = self._results.full
        outcome = self._results.take()
        self.counters.count(outcome)
        if full and not self._results.full:
            self._slots.seek()
        return outcome

    async def _wait_for_results(self) -> bool:
        """Whether there are any; False at the end.

        Raises what the source raised, or Outage, after all outcomes that came before it.
        """
        while not self._results:
            if self._left or self._slots.finished():
                if self._failures.holds and not self._left:
                    self._failures.release()
                    continue
                failure = self._failure or self._work.ahead.failure
                if failure is not None:
                    raise failure
                return False
            await self._results.changed()
        return True

    def stop(self) -> None:
        """Send nothing more; let what is in flight come to its outcome, then end the iteration."""
        if self._work.stopping:
            return
        self._work.stop()
        self._state.limiter.dismiss(self._slots)
        # A source can keep silent for ever, so nobody waits for what it was about to say.
        self._work.ahead.exhausted = True
        if self._feeder is not None:
            self._feeder.cancel()
        self._slots.wake_everyone()

    def _give_up(self, failure: PenstockError) -> None:
        self._failure = self._failure or failure
        self.stop()

    def _leave_some(self, failure: PenstockError) -> None:
        """Go on to the end, and say then that there are items without an outcome."""
        self._failure = self._failure or failure

    # -- the source -------------------------------------------------------------------------------------------------

    async def _feed(self) -> None:
        try:
            await self._work.ahead.fill(self._arrived)
        finally:
            self._slots.wake_everyone()

    def _arrived(self, starved: bool) -> None:
        if starved:
            self._state.schedule.restart(self._clock.now())
        self._slots.seek()

    # -- what can be seen -------------------------------------------------------------------------------------------

    @property
    def stopping(self) -> bool:
        """Whether it was told to stop."""
        return self._work.stopping

    @property
    def stopped(self) -> bool:
        """Whether it has come to its end, of whatever kind."""
        return self._left

    @property
    def ceiling(self) -> int:
        """How many attempts may be in flight now."""
        return self._state.ceiling.now

    @property
    def complete(self) -> bool:
        """Whether every item has its outcome."""
        return self._complete if self._left else self._exhausted_well()

    def _exhausted_well(self) -> bool:
        work = self._work
        failed = self._failure or work.ahead.failure
        settled = self._slots.finished() and not self._failures.holds and not self._results
        return not work.stopping and failed is None and settled

    def __repr__(self) -> str:
        return (
            f"<Engine {self.counters.in_flight} in flight, {self._slots.count} slots, "
            f"{len(self._work.ahead.items)} read ahead, {self._work.waiting} to retry, {len(self._results)} results>"
        )
