"""Is the host down, and when may it be tried? A circuit breaker that parks work and does not refuse it.

::

    CLOSED --(nearly everything fails, over many items)--> OPEN --(a probe is answered)--> TRIAL --(4 s)--> CLOSED
                                                            ^                                |
                                                            +--------(it fails again)--------+

The difficulty is to tell a host that is down from items that fail for reasons of their own. An item is evidence
once in an *era*: what it does after its first failure says more about the item than about the host. So a run whose
last items fail again and again ends with their outcomes, and one that meets a host that is down finds twenty others
that fail as well. Fewer cannot show it: they end by their own attempts.

Opening starts a new era. Whatever failed before is excused: it failed because of the host.

Where all items go to one host there are failures that cannot be an item's own: no connection, or a gateway that says
that there is nobody behind it. Three of them without a good answer for a moment are enough, so that also a run of few
items, or of one page after the other, waits for its host.

Nor is a host down that refuses nearly everything at once because its workers are busy: it works as fast as it can, and
good answers come all the time, however many refusals are counted between them. So for it to be down they must also
have been missing for clearly longer than they ever were of late.

M. Nygard, "Release It!", names the pattern. Times are seconds on any one clock.
"""

from __future__ import annotations

import enum
import math
from collections import deque

from .verdict import Classified, Verdict

EVIDENCE = 20
"""Items that must have failed for the host to be taken to be down."""

SHARE = 0.95
"""Of the latest endings that must be such failures."""

REFUSED_EVIDENCE = 10
REFUSED_SECONDS = 60.0
"""So many items must have been told to slow down, and nothing else have come for so long: a server that refuses is
alive, and lets go within its window. Fewer items, because a pause follows each refusal."""

SURE_EVIDENCE = 3
"""Failures that cannot be an item's own, for the host to be taken to be down."""

NO_CONNECTION_SECONDS, NOBODY_BEHIND_SECONDS = 0.2, 1.0
"""So long no good answer must have come, then: one host of several that are behind a name may be down, and a server
that has no worker free now has one in a moment."""

MOST_SILENCE = 5.0
"""Seconds without a good answer that are enough in any case; what is tried meanwhile uses up its attempts."""

FIRST_PROBE = 0.5
LAST_PROBE = 3.0
"""Between probes, at first and at most: the second bounds what recovery waits for."""

MOST_PROBES = 32
"""Probes that are not answered yet; a host that keeps silent must not hold up the question whether it is back."""

TRIAL_SECONDS = 4.0
_DOUBLING_SECONDS = 0.5
_WINDOW = 50
_TRIAL_FAILURES = 5
_LONGER = 2.0
_FADES = 0.998
_SHORT = 2 * FIRST_PROBE

_DOWN = frozenset({"connect", "connect_timeout", "dns", "timeout", "reset", "http_5xx"})
_ANSWERED = frozenset({"accepted", "http_3xx", "http_4xx", "unexpected", "too_large", "bad_body"})
_LASTING = frozenset({501, 505})
_SURE = frozenset({"connect", "connect_timeout", "dns"})
_NOBODY_BEHIND = frozenset({502, 503})


class Sign(enum.Enum):
    """What the ending of one attempt says about the host."""

    DOWN = "down"
    REFUSES = "refuses"
    ANSWERS = "answers"
    NOTHING = "nothing"


def sign_of(what: Classified) -> Sign:
    """What a verdict says about the host; an error of the item's own says that it answers, or nothing."""
    if what.kind == "throttled":
        return Sign.REFUSES
    if what.kind in _DOWN:
        return Sign.ANSWERS if what.status in _LASTING else Sign.DOWN
    if what.kind in _ANSWERED or what.verdict is Verdict.SUCCESS:
        return Sign.ANSWERS
    # An exception of another library: whoever says that it may be tried again says that it is not the item's own.
    return Sign.DOWN if what.kind == "exception" and what.verdict is Verdict.RETRYABLE else Sign.NOTHING


def sure_after(what: Classified) -> float:
    """Seconds without a good answer after which an ending cannot be the item's own; inf where it may always be.

    RFC 9110, 15.6.3 and 15.6.4, for 502 and 503.
    """
    if what.kind in _SURE:
        return NO_CONNECTION_SECONDS
    return NOBODY_BEHIND_SECONDS if what.status in _NOBODY_BEHIND else math.inf


class CircuitState(enum.Enum):
    """Whether traffic flows."""

    CLOSED = "closed"
    """It does."""
    OPEN = "open"
    """Nothing is sent but probes."""
    TRIAL = "trial"
    """A probe was answered; the traffic comes back in steps."""


class Circuit:
    """The state of one host, or of everything under one limit. O(1) an ending, and nothing at all while all is well."""

    __slots__ = (
        "_bad",
        "_evidence",
        "_fresh",
        "_good",
        "_interval",
        "_latest_good",
        "_opened_at",
        "_recovered_at",
        "_silence",
        "_sure",
        "_sure_evidence",
        "_window",
        "_window_failures",
        "era",
        "failing_since",
        "next_probe",
        "state",
        "streak",
        "troubled",
    )

    def __init__(self, *, evidence: float = EVIDENCE, one_host: bool = False) -> None:
        """`evidence`: items that must have failed; infinity for a circuit that never opens.

        `one_host`: all items go to the same one.
        """
        self._evidence = evidence
        self._sure_evidence = SURE_EVIDENCE if one_host and evidence < math.inf else math.inf
        self.state = CircuitState.CLOSED
        self.era = 1
        self.streak = 0
        """Failures since the last good answer."""
        self.troubled = False
        """Whether good answers must be told to `answered`."""
        self.failing_since = math.inf
        """When the first failure after the last good answer came."""
        self.next_probe = math.inf
        self._fresh = self._sure = 0
        self._latest_good = 0.0
        """When it came; where nothing had failed until then, when the first failure came."""
        self._silence = 0.0
        """Seconds: the longest of late that no good answer came although the host was up."""
        self._window: deque[bool] = deque()
        self._window_failures = 0
        self._interval = FIRST_PROBE
        self._opened_at = self._recovered_at = -math.inf
        self._good = self._bad = 0

    def failed(
        self, now: float, *, sent_at: float, fresh: bool, refused: bool = False, sure_after: float = math.inf
    ) -> None:
        """An attempt that was sent at `sent_at` failed at `now`.

        `fresh`: its item had not failed in this era. `refused`: it was told to slow down. `sure_after`: see the
        function of that name.
        """
        if self.excuses(sent_at) and self.state is not CircuitState.OPEN:
            return
        if not self.troubled:
            self._latest_good = now
        self.troubled = True
        self.streak += 1
        if math.isinf(self.failing_since):
            self.failing_since = now
        if self.state is CircuitState.CLOSED:
            self._sure += sure_after < math.inf
            self._doubt(now, fresh=fresh, refused=refused, sure_after=sure_after)
        elif self.state is CircuitState.TRIAL and not refused:
            self._bad += 1
            if self._bad >= _TRIAL_FAILURES and self._bad > 4 * self._good and self._silent(now):
                self._open(now)

    def answered(self, now: float, *, sent_at: float) -> None:
        """An attempt that was sent at `sent_at` had an answer at `now`."""
        silence = now - self._latest_good
        # One that answers the first probe was busy and not down.
        if self.troubled and (self.state is not CircuitState.OPEN or sent_at < self._opened_at or silence < _SHORT):
            self._silence = max(silence, _FADES * self._silence)
        self._latest_good = now
        if self.streak and sent_at < self.failing_since and self.state is CircuitState.CLOSED:
            # It was sent when all was well: that it still comes says nothing about those that were sent since.
            return
        if self.state is CircuitState.OPEN:
            # What was sent before it went down may still come in.
            if sent_at < self._opened_at:
                return
            self.state = CircuitState.TRIAL
            self._recovered_at = now
            self._good = self._bad = 0
            self._forget()
        self.streak = self._fresh = self._sure = 0
        self.failing_since = math.inf
        if self.state is CircuitState.TRIAL:
            self._good += 1
            return
        self._remember(failure=False)
        self.troubled = self._window_failures > 0

    def excuses(self, sent_at: float) -> bool:
        """Whether an attempt that was sent then and failed did so because of the host and not because of its item."""
        return self.state is CircuitState.OPEN or sent_at < self._recovered_at

    def tick(self, now: float) -> None:
        """Time has passed: a trial that has lasted long enough is over."""
        if self.state is CircuitState.TRIAL and now >= self._recovered_at + TRIAL_SECONDS:
            self.state = CircuitState.CLOSED
            self._interval = FIRST_PROBE

    def probe_sent(self, now: float, chance: float) -> None:
        """A probe is on its way; the next follows after an interval that grows. `chance` is uniform in [0, 1)."""
        self.next_probe = now + self._interval * (0.8 + 0.2 * chance)
        self._interval = min(LAST_PROBE, self._interval * 2.0)

    def allowance(self, now: float) -> float:
        """How many attempts may be under way."""
        if self.state is CircuitState.CLOSED:
            return math.inf
        if self.state is CircuitState.OPEN:
            return MOST_PROBES
        # Doubles with time as well as with answers: where one takes half a minute, the limit would be left unused.
        steps = min(now - self._recovered_at, TRIAL_SECONDS) / _DOUBLING_SECONDS
        return (1 + self._good) * math.exp2(steps)

    def _doubt(self, now: float, *, fresh: bool, refused: bool, sure_after: float) -> None:
        if fresh:
            self._fresh += 1
            if not refused:
                self._remember(failure=True)
        down = self._window_failures >= self._evidence and self._window_failures >= SHARE * len(self._window)
        sure = self._sure >= self._sure_evidence and now - self._latest_good >= sure_after
        down = (down or sure) and self._silent(now)
        refuses = self._fresh >= min(REFUSED_EVIDENCE, self._evidence) and self._evidence < math.inf
        if down or (refuses and now - self.failing_since >= REFUSED_SECONDS):
            self._open(now)

    def _silent(self, now: float) -> bool:
        """Whether good answers have been missing for longer than they are now and then."""
        return now - self._latest_good >= min(MOST_SILENCE, _LONGER * self._silence)

    def _remember(self, *, failure: bool) -> None:
        self._window.append(failure)
        self._window_failures += failure
        if len(self._window) > _WINDOW:
            self._window_failures -= self._window.popleft()
        if self._window_failures == 0:
            self._window.clear()

    def _open(self, now: float) -> None:
        if self.state is CircuitState.CLOSED:
            self._interval = FIRST_PROBE
        self.state = CircuitState.OPEN
        self.era += 1
        self._opened_at = now
        self.next_probe = now + self._interval
        self._forget()

    def _forget(self) -> None:
        self._window.clear()
        self._window_failures = self._fresh = self._sure = self.streak = 0
