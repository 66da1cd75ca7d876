"""What stands between a client that somebody has and its wire: limits, and what answers say of them.

A transport, adapter or middleware asks for a `Turn` for each request, enters before each send, and shows the head of
each answer. Bodies are none of its business.
"""

from __future__ import annotations

import random
import threading
import weakref
from collections.abc import Iterable
from typing import Literal

from ..answers.rules import AnswerRules
from ..clock import SYSTEM_CLOCK, current_clock
from ..errors import CallError, UsageError
from ..limits.bounds import Grant
from ..limits.given import Limits
from ..messages import Response
from ..rules.retries.retry import Retry, RetryPolicy, decide
from ..rules.retries.verdict import RetryOn, Verdict, classify_error
from .bridge import BRIDGE
from .forks import tell_after_fork
from .permits import Permits
from .settings import private_limiter

_LATE = 0.001
"""Seconds; the guard of a limit bears that much."""


class LimitGate:
    """Limits for all requests of a client, and how often a refused one is sent again, within how many seconds.

    Raises UsageError for what makes no sense.
    """

    def __init__(
        self,
        limit: Limits,
        *,
        max_attempts: int = 5,
        total_timeout: float = 60.0,
        limit_headers: Literal["tighten", "ignore"] = "tighten",
    ) -> None:
        if max_attempts < 1 or not total_timeout > 0:
            raise UsageError("max_attempts must be at least 1, and total_timeout more than 0 seconds")
        if limit_headers not in {"tighten", "ignore"}:
            raise UsageError(f'limit_headers must be "tighten" or "ignore", not {limit_headers!r}')
        follow = limit_headers == "tighten"
        self.policy = RetryPolicy(max_attempts=max_attempts, total_timeout=total_timeout)
        self.permits = Permits(lambda: private_limiter(limit), follow=follow)
        self.answers = AnswerRules(quotas=follow)
        self._crossing = _Crossing()
        weakref.finalize(self, self._crossing.leave)

    def turn(self, *, replayable: bool) -> Turn:
        """For one request, which can be sent a second time as it is if it is `replayable`."""
        return Turn(self, replayable=replayable)

    def enter(self, turn: Turn) -> None:
        """As `Turn.enter`, for a thread, which waits."""
        self._crossing.take()
        # The caller's own wire blocks as well, so it is his to say whether a loop runs here.
        BRIDGE.run(turn.enter, in_a_loop=True)

    def close(self) -> None:
        """No more requests of threads; one that is made all the same opens it again."""
        self._crossing.leave()


class Turn:
    """One request of a client: `enter`, send, and then `again` or `failed`, as long as `again` says so."""

    __slots__ = ("_attempts", "_began", "_delay", "_gate", "_grant", "_replayable", "_sent")

    def __init__(self, gate: LimitGate, *, replayable: bool) -> None:
        self._gate = gate
        self._replayable = replayable
        self._attempts = 0
        self._delay = 0.0
        self._began = self._sent = 0.0
        self._grant: Grant | None = None

    async def enter(self) -> None:
        """Wait for a permit; the send follows at once."""
        clock = current_clock()
        if self._delay:
            await clock.sleep(self._delay)
        self._grant = await self._gate.permits.acquire()
        self._sent = clock.now()
        if not self._attempts:
            self._began = self._sent
        self._attempts += 1

    def sent(self) -> None:
        """The head of the request has been written; a while after its permit, where a connection was opened first.

        Reckoned from the permit, what is sent next on a connection that is open would come too close to it.
        """
        now = SYSTEM_CLOCK.now()
        if self._grant is not None and now - self._sent > _LATE:
            self._sent = now
            self._gate.permits.sent_late(self._grant, now)

    def failed(self) -> None:
        """No answer came."""
        self._gate.permits.heard(None, _NO_ANSWER, self._sent)

    def again(self, status: int, fields: Iterable[tuple[bytes, bytes]]) -> bool:
        """An answer came. Whether it is to be put away, and the request sent once more after `enter`.

        That is so for a refusal, which says that the request was not processed, while attempts and time last.
        """
        gate = self._gate
        head = Response(status, raw_headers=[(name.lower(), value) for name, value in fields])
        failure = gate.answers.error_of(head)
        what = None if failure is None else classify_error(failure, RetryOn.SAFE, idempotent=False)
        gate.permits.heard(head, what, self._sent)
        if what is None or what.verdict is not Verdict.THROTTLED or not self._replayable:
            return False
        elapsed = SYSTEM_CLOCK.now() - self._began
        step = decide(gate.policy, what, self._attempts, elapsed, random.random())
        if not isinstance(step, Retry):
            return False
        self._delay = step.delay
        return True


class _Crossing:
    """The way over the bridge, which is taken by the first request of a thread."""

    def __init__(self) -> None:
        self.after_fork()
        tell_after_fork(self)

    def after_fork(self) -> None:
        """It has to be taken again."""
        self._lock = threading.RLock()
        self._taken = False

    def take(self) -> None:
        if self._taken:
            return
        with self._lock:
            if not self._taken:
                BRIDGE.enter()
                self._taken = True

    def leave(self) -> None:
        with self._lock:
            taken, self._taken = self._taken, False
        if taken:
            BRIDGE.leave()


_NO_ANSWER = classify_error(CallError("no answer"), RetryOn.NONE, idempotent=False)
