"""What an attempt's ending means: an outcome, another attempt, and what everybody under the limit has to know."""

from __future__ import annotations

import math
from typing import Generic, TypeVar

from ..call import Resp
from ..clock import Clock
from ..errors import UsageError
from ..rules.in_flight.limit import Ending
from ..rules.retries.backoff import backoff
from ..rules.retries.circuit import CircuitState
from ..rules.retries.denied import is_denied, shows_good_credential
from ..rules.retries.retry import Retry, Stop, decide, decide_poll
from ..rules.retries.verdict import OVERLOAD, Classified, Verdict
from .failures import Failures
from .outages import Outages
from .outcome import Item, Outcome, Trouble
from .renewals import Renewals
from .results import Results
from .state import EngineState
from .work import Work

T = TypeVar("T")

_LEAST_FOR_MEDIAN = 20


class Endings(Generic[T, Resp]):
    """Gives each ended attempt its one verdict, and does what follows from it."""

    def __init__(
        self,
        state: EngineState,
        *,
        work: Work[T],
        outages: Outages[T],
        results: Results[Outcome[T, Resp]],
        failures: Failures[T, Resp],
        renewals: Renewals[T] | None,
    ) -> None:
        self._judge = state.judge
        self._limiter = state.limiter
        self._schedule = state.schedule
        self._ceiling = state.ceiling
        self._adaptive = state.adaptive
        self._policy = state.policy
        self._counters = state.counters
        self._circuit = state.circuit
        self._chance = state.chance
        self._costs = state.costs
        self._keys = state.keys
        self._work = work
        self._outages = outages
        self._results = results
        self._failures = failures
        self._renewals = renewals
        self._usual = 0.0
        self._median_until = -math.inf
        self._clock: Clock

    def open(self, clock: Clock) -> None:
        """Before the first attempt."""
        self._clock = clock
        self._judge.listen(self._limiter, clock)

    def ended(self, item: Item[T], value: Resp | None, error: Exception | None, sent: bool) -> None:
        """An attempt for `item` ended with `value` or `error`; `sent` says whether it had taken a permit."""
        now = self._clock.now()
        began = item.sent
        if sent:
            self._counters.in_flight -= 1
            if error is not None and isinstance(error, UsageError):
                # No request could be made of the item: nothing was sent after all.
                item.attempts -= 1
                self._counters.attempts -= 1
        else:
            # It failed before it could be sent: no connection is an attempt that took no permit, a record that
            # makes no request is none.
            self._note_unsent(item, now, attempted=not isinstance(error, UsageError))
        if self._costs is not None and sent:
            self._costs.settle(item, value, error, now)
        what = self._judge.ended(item.to_send, value, error, began)
        if what is None or what.verdict is Verdict.SUCCESS:
            self._succeeded(item, value, now)
            return
        self._feel(item, what, began, now)
        if what.pauses and what.verdict is not Verdict.FATAL and self._leaves(item, now):
            return
        if self._failures.troubled and shows_good_credential(what):
            self._failures.passed(began)
        if self._renewals is not None and self._renewals.takes(item, what, error):
            self._failures.renewing()
            return
        decision = self._decide(item, what, began, now)
        if isinstance(decision, Stop):
            self._failed(item, value, error, what, decision, now)
        elif not self._work.stopping:
            if decision is None:
                self._work.park(item)
            else:
                self._work.delay(item, now + decision.delay)

    def _failed(
        self, item: Item[T], value: Resp | None, error: Exception | None, what: Classified, stop: Stop, now: float
    ) -> None:
        outcome = Outcome(
            item,
            ok=False,
            value=value,
            kind=stop.kind or what.kind,
            message=stop.message or what.message,
            status=what.status,
            error=error,
            service=now - item.sent,
            response=now - item.intended,
        )
        if is_denied(what):
            self._failures.denied(outcome, now)
        else:
            self._failures.put(outcome)

    def _leaves(self, item: Item[T], now: float) -> bool:
        """Whether `item` is left for another session, because the peer asked for a longer pause than a run waits."""
        return self._outages.waits_too_long() if self._keys is None else self._keys.sets_aside(item, now)

    def _decide(self, item: Item[T], what: Classified, began: float, now: float) -> Retry | Stop | None:
        """When to try again, if ever; None: when the host is back."""
        if what.verdict is Verdict.FATAL:
            return Stop()
        trouble = item.in_trouble()
        if what.verdict is Verdict.PENDING:
            return self._ask_again(item, trouble, what, began)
        if self._outages.excuses(item, what, began):
            if self._outages.parks:
                return None
            return Retry(backoff(1, self._chance(), base=self._policy.backoff_base, cap=self._policy.backoff_cap))
        throttled = what.verdict is Verdict.THROTTLED
        trouble.refused += throttled
        # A refusal is followed by a pause for everybody; retries that come after it are no extra load.
        trouble.owes = not throttled
        attempts = item.attempts - trouble.excused
        elapsed = now - item.first_sent
        return decide(self._policy, what, attempts, elapsed, self._chance(), refusals=trouble.refused)

    def _ask_again(self, item: Item[T], trouble: Trouble, what: Classified, began: float) -> Retry | Stop:
        """The peer has taken it and is not done: that is no failure, and no attempt is used up by asking."""
        trouble.instead = what.instead or trouble.instead
        trouble.polls += 1
        trouble.excused += 1
        trouble.owes = False
        return decide_poll(self._policy, what, trouble.polls, began - item.first_sent, self._chance())

    def out_of_time(self, item: Item[T]) -> bool:
        """End an item that has too little time left for another attempt: its answer could not be awaited.

        Too little is less than half of all attempts take, where that is known.
        """
        total = self._policy.total_timeout
        if total is None or item.attempts == 0:
            return False
        now = self._clock.now()
        left = total - (now - item.first_sent)
        if left > 0 and left >= self._median(now):
            return False
        if left <= 0:
            message = f"the total timeout of {total:g} s passed while attempt {item.attempts + 1} waited for its turn"
        else:
            message = (
                f"of the total timeout of {total:g} s there were {left:.3g} s left for attempt {item.attempts + 1}, "
                f"and half of all attempts take {self._median(now):.3g} s or longer"
            )
        self._failures.put(Outcome(item, ok=False, kind="deadline", message=message, response=now - item.intended))
        return True

    def _median(self, now: float) -> float:
        """Seconds that half of the attempts take; 0 while too few have ended."""
        if now >= self._median_until:
            # Reading a histogram costs 50 us; once a second is often enough.
            self._median_until = now + 1.0
            service = self._counters.service
            enough = service.count >= _LEAST_FOR_MEDIAN
            self._usual = (service.quantile(0.5) or 0.0) if enough else 0.0
        return self._usual

    def _note_unsent(self, item: Item[T], now: float, *, attempted: bool) -> None:
        item.sent = now
        if item.attempts == 0:
            item.first_sent = item.intended = now
        elif attempted:
            self._counters.retries += 1
        if attempted:
            item.attempts += 1
            self._counters.attempts += 1

    def _succeeded(self, item: Item[T], value: Resp | None, now: float) -> None:
        if self._keys is None:
            self._limiter.answered(item.sent)
        else:
            self._keys.answered(item, item.sent, now)
        if self._circuit.troubled:
            self._outages.succeeded(item.sent, now)
        if self._failures.troubled:
            self._failures.passed(item.sent)
        if self._renewals is not None and item.trouble is not None and item.trouble.renewed:
            self._renewals.helped()
        if self._adaptive:
            self._ceiling.on_end(now, self._counters.in_flight + 1, latency=now - item.sent, ending=Ending.GOOD)
        self._results.put(Outcome(item, ok=True, value=value, service=now - item.sent, response=now - item.intended))

    def _feel(self, item: Item[T], what: Classified, began: float, now: float) -> None:
        """Let everything under the limit know what the peer said."""
        # By kind: an item that may not be tried again was told to slow down all the same.
        throttled = what.kind == "throttled"
        self._counters.throttled += throttled
        if what.pauses:
            self._pause(item, what.retry_after, now)
        elif self._keys is None:
            # Also a reset or a timeout: whoever waits for what a probe is told must not wait for what will not come.
            self._limiter.answered(began, good=what.verdict is Verdict.PENDING)
        else:
            self._keys.answered(item, began, now, good=what.verdict is Verdict.PENDING)
        self._outages.felt(item, what, began, now)
        if throttled and self._keys is not None:
            # A refusal of one key says nothing about the others, nor about how many may be in flight.
            return
        if self._adaptive and self._circuit.state is CircuitState.CLOSED:
            ending = Ending.REFUSED if throttled else Ending.OVERLOAD if what.kind in OVERLOAD else Ending.GOOD
            self._ceiling.on_end(now, self._counters.in_flight + 1, latency=now - item.sent, ending=ending)
            if throttled and self._limiter.pace is not self._ceiling.pace:
                self._limiter.pace = self._ceiling.pace

    def _pause(self, item: Item[T], retry_after: float | None, now: float) -> None:
        if self._keys is not None:
            self._keys.throttled(item, retry_after, now, self._chance())
            return
        self._limiter.throttled(retry_after, now, self._chance())
        self._schedule.hold(self._limiter.paused_until)
        self._counters.paused_until = self._clock.wall() + self._limiter.paused_until - now
