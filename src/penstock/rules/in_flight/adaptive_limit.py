"""How many calls at once does a server take that does not say so?

More in flight than the server can work on do not raise what it delivers, they only wait longer: by Little's law the
latency then grows in proportion. So the right number is the one beyond which latency grows, and finding it takes two
things: the latency when nothing queues, the *base*, and how much above it we are.

- It begins with few and doubles them each round trip while they are really in use (slow start), until the latency
  has clearly risen or the peer refuses.
- From then on it goes by rounds: as many endings as are in flight, so about a round trip. While the latency is near the
  base there are more each round; above it, in proportion fewer. A round after a change is not looked at, because its
  calls were sent before it.
- The base is measured again now and then, by going down to 0.7 of the number for a round. Latency that falls in
  proportion was queueing, and it goes down further; latency that does not fall is the server's own, and the new base.
  So it follows when the server itself becomes slower or faster, where the lowest latency ever seen (Vegas) or an
  average of all (Gradient2) would mislead.
- Failures that speak of overload (503, timeouts, resets) lower it once an episode: calls in flight together fail
  together. What was in flight then is a wall, which is tried again, a little further each time, only after enough good
  answers that these trials cost less than one call in a hundred.

Refusals of a rate (429) are left to an AdaptiveRate where there is one: a quick server that allows 100 a second cannot
be held by any number in flight.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from ..limits.rate import Pace
from .adaptive_rate import REFUSED_SHARE, AdaptiveRate
from .limit import Ending

START = 4
"""In flight at the beginning, where nothing is known."""

HEADROOM = 1.2
"""As many more than the peer works on: a short queue, so that none of its workers waits for us."""

NEAR = 1.15
"""Times the base: latency that is taken for the base itself, as far as noise lets us tell."""

SLACK = 0.001
"""Seconds of waiting that harm nobody. On very quick peers a good part of the latency is our own event loop's."""

CUT = 0.9
OVERLOADED_SHARE = 0.3
"""Of the latest endings, weighted towards the newest; above it the peer has too much on its hands."""

TRYING_SHARE = 0.08
"""The same while trying whether a wall is still there: less is enough to know."""

_WEIGHT = 0.05
_FEWEST = 16
_SHORTEST_ROUND = 0.1
_USED = 0.8
_LOWER = 0.7
_LOWER_MUCH = 0.5
_DEEPEST = 4
_ROUNDS = 8
_TRY_AGAIN = 15.0
_LOOK_AGAIN, _LOOK_AGAIN_AT_MOST = 3.0, 15.0


class _Round(NamedTuple):
    """What a round has shown, on average."""

    latency: float
    in_flight: float
    rate: float


@dataclass(slots=True)
class _Wall:
    """The number in flight at which the peer refused, and when to try to go beyond it."""

    level: float = math.inf
    refused: int = 0
    good: int = 0
    """Good answers in all when it was hit, or tried, last."""
    at: float = -math.inf
    """When that was."""
    step: float = 0.0

    def hit(self, now: float, level: int, refused: int, good: int) -> None:
        self.level, self.refused, self.good, self.at, self.step = float(level), refused, good, now, 0.0

    def allows(self, now: float, target: float, good: int) -> float:
        """As much of `target` as it allows; where enough were good since the last time, a step beyond it."""
        if target <= 0.95 * self.level:
            return target
        if (good - self.good) * REFUSED_SHARE < self.refused and now - self.at < _TRY_AGAIN:
            return math.floor(0.95 * self.level)
        self.step = min(0.25, 2 * self.step) or 0.03
        self.level = min(target, max(self.level * (1 + self.step), self.level + 1))
        self.good, self.at = good, now
        return self.level


class AdaptiveLimit:
    """The most in flight at present, between 1 and `cap`; an InFlightLimit.

    `rate` is told of refusals. `by_latency` False is for traffic that has a limit: then latency alone says nothing,
    since it is the limit that is to be filled however slow the peer is, and only overload makes it lower.
    """

    __slots__ = (
        "_base",
        "_before",
        "_began",
        "_below",
        "_by_latency",
        "_cut_at",
        "_depth",
        "_failed",
        "_fastest",
        "_good",
        "_good_before",
        "_growth",
        "_in_flight",
        "_latency",
        "_look_after",
        "_looked_at",
        "_need",
        "_next_look",
        "_rate",
        "_reference",
        "_rounds",
        "_run",
        "_settling",
        "_share",
        "_slow_start",
        "_started_with",
        "_wall",
        "cap",
        "now",
    )

    def __init__(
        self, *, cap: int, now: int = START, rate: AdaptiveRate | None = None, by_latency: bool = True
    ) -> None:
        self.cap = cap
        self.now = min(now, cap)
        self._rate = rate
        self._by_latency = by_latency
        self._slow_start = True
        self._base = math.inf
        self._fastest = 0.0
        self._growth = 1.0
        self._reference: _Round | None = None
        """Of the last round before the latest cuts for latency."""
        # The round.
        self._good = self._failed = self._in_flight = self._good_before = 0
        self._latency = 0.0
        self._began = -math.inf
        self._next_look = -math.inf
        self._need = _FEWEST
        self._started_with = self.now
        self._settling = 0
        self._rounds = 0
        # The look at the base.
        self._depth = 0
        self._before = self._below = _Round(0.0, 0.0, 0.0)
        self._looked_at = -math.inf
        self._look_after = _LOOK_AGAIN
        # Overload.
        self._share = 0.0
        self._run = 0
        self._cut_at = -math.inf
        self._wall = _Wall()

    @property
    def pace(self) -> Pace | None:
        """The pace that was found out from refusals; None where there were none."""
        return self._rate if self._rate is not None and self._rate.known else None

    @property
    def base(self) -> float:
        """Seconds: the latency when nothing queues, as far as is known; inf where nothing is."""
        return self._base

    @property
    def share(self) -> float:
        """Of overload among the latest endings."""
        return self._share

    def on_end(self, now: float, in_flight: int, *, latency: float, ending: Ending) -> None:
        """An attempt ended at `now` (seconds) while `in_flight` were under way, itself included."""
        if ending is Ending.GOOD:
            self._good += 1
            self._latency += latency
            self._in_flight += in_flight
            if self._share:
                self._share = self._share * (1.0 - _WEIGHT) if self._share > 1e-6 else 0.0
                self._run = 0
            if self._slow_start and in_flight >= _USED * self.now:
                self._speed_up()
            if now >= self._next_look or now < self._began:
                self._look(now, in_flight)
            return
        if ending is Ending.REFUSED and self._rate is not None:
            self._refused(now, in_flight, now - latency)
        else:
            self._overloaded(now, in_flight, now - latency)

    def _look(self, now: float, in_flight: int) -> None:
        """Some times a second: the traffic may be looked at, and a round may be complete."""
        if self._next_look == -math.inf or now < self._began:
            self._start_round(now, in_flight)
        self._next_look = now + _SHORTEST_ROUND / 2
        if self._rate is not None:
            self._rate.note(now, self._not_refused(in_flight))
        if self._good >= self._need and now - self._began >= _SHORTEST_ROUND:
            self._end_round(now, in_flight)

    def _not_refused(self, in_flight: int) -> int:
        return self._good_before + self._good + in_flight - 1

    # -- slow start, refusals, overload -----------------------------------------------------------------------------

    def _speed_up(self) -> None:
        # One more for each success doubles it per round trip, but only while it is what holds the traffic back.
        if self._share >= TRYING_SHARE or self.now >= self.cap:
            return
        if self.now + 1 <= 0.95 * self._wall.level:
            self.now += 1

    def _refused(self, now: float, in_flight: int, sent: float) -> None:
        assert self._rate is not None
        total = self._not_refused(in_flight)
        self._rate.note(now, total)
        self._rate.refused(now, sent, total)

    def _overloaded(self, now: float, in_flight: int, sent: float) -> None:
        self._failed += 1
        self._run += 1
        self._share += (1.0 - self._share) * _WEIGHT
        if sent < self._cut_at:
            # It was under way when the cut was made.
            self._wall.refused += 1
            return
        if self._run > 2 * self.now + _FEWEST:
            # Nothing gets through at all: that is an outage, and says nothing about how much is too much.
            self._wall = _Wall()
            self._slow_start = True
            return
        trying = in_flight > 0.95 * self._wall.level
        if in_flight > 1 and self._share > (TRYING_SHARE if trying else OVERLOADED_SHARE):
            self._cut_at = now
            self._wall.hit(now, in_flight, self._failed, self._good_before + self._good)
            # From what was really in flight: a number far above the traffic would change nothing.
            self.now = max(1, int(min(self.now, in_flight) * CUT))
            self._slow_start = False
            self._share = _WEIGHT
            self._depth = 0
            self._settling = 2
            self._start_round(now, in_flight)

    # -- rounds -----------------------------------------------------------------------------------------------------

    def _start_round(self, now: float, in_flight: int) -> None:
        self._good_before += self._good
        self._good = self._failed = self._in_flight = 0
        self._latency = 0.0
        self._began = now
        self._started_with = self.now
        self._need = max(_FEWEST, self.now // 4 if self._slow_start else min(self.now, in_flight))

    def _end_round(self, now: float, in_flight: int) -> None:
        count = self._good
        seen = _Round(max(self._latency / count, 1e-6), self._in_flight / count, count / (now - self._began))
        if self._settling:
            # What still queues from before would be taken for what is now.
            if in_flight <= self.now + 1:
                self._settling -= 1
        elif seen.in_flight >= _USED * self._started_with:
            if self._failed <= 1 and self.now >= self._wall.level:
                # A step beyond the wall went well, so the next may follow at once.
                self._wall.refused = 0
            if not self._by_latency:
                self._slow_start = self._slow_start and self.now < 0.9 * self._wall.level
                self._set(seen.in_flight * HEADROOM if not self._slow_start else self.now)
            elif self._slow_start:
                self._judge_start(seen)
            elif self._depth:
                self._judge_below(seen, now)
            else:
                self._judge(seen, now)
        self._start_round(now, in_flight)

    def _judge_start(self, seen: _Round) -> None:
        fastest = self._fastest
        self._fastest = max(fastest, seen.rate)
        if seen.latency > 1.5 * self._base + SLACK and seen.rate < 1.3 * fastest:
            self._slow_start = False
            # What is known of the base is rough: look at it soon.
            self._rounds = _ROUNDS - 2
            self._set(self._fastest * self._allowed() * HEADROOM, least=0.1)
            return
        if self._base == math.inf:
            self._base = seen.latency
        elif seen.latency < NEAR * self._base or seen.rate > 1.3 * fastest:
            # The quick answers come first while the number grows, so the first averages are on the low side.
            self._base = 0.5 * (self._base + seen.latency)
        if self.now >= 0.9 * self._wall.level:
            self._slow_start = False

    def _judge(self, seen: _Round, now: float) -> None:
        if self._base == math.inf:
            self._base = seen.latency
        elif seen.latency < 0.9 * self._base:
            self._base += 0.3 * (seen.latency - self._base)
        self._compare_with_cuts(seen)
        self._rounds += 1
        gain = self._gain(seen.latency)
        due = self._rounds >= _ROUNDS and now - self._looked_at > self._look_after
        if self.now > 1 and (due or gain < _LOWER_MUCH * HEADROOM):
            self._before = seen
            self._go_below(seen, _LOWER if gain >= _LOWER_MUCH * HEADROOM else _LOWER_MUCH)
            return
        if gain == HEADROOM:
            # Room, round after round: the further it is, the larger the steps.
            self._growth = min(2.0, HEADROOM * self._growth)
            self._reference = None
            self._set(seen.in_flight * self._growth)
            return
        self._growth = 1.0
        if gain >= CUT:
            self._reference = None
        elif self._reference is None:
            self._reference = seen
        self._set(seen.in_flight * gain)

    def _compare_with_cuts(self, seen: _Round) -> None:
        """Cuts that did not lower the latency were in vain: it is the server's own."""
        before = self._reference
        if before is None or seen.in_flight > _LOWER * before.in_flight:
            return
        self._reference = None
        if seen.latency > 0.85 * before.latency:
            self._rebase(seen.latency)

    def _gain(self, latency: float) -> float:
        """By how much to change the number for this latency: HEADROOM where nothing queues, in proportion less else."""
        return HEADROOM * min(1.0, self._allowed() / latency)

    def _allowed(self) -> float:
        return NEAR * self._base + SLACK

    # -- what is the latency when nothing queues? -------------------------------------------------------------------

    def _go_below(self, seen: _Round, share: float) -> None:
        self._depth += 1
        self._below = seen
        self.now = max(1, int(self.now * share))
        self._settling = 2

    def _judge_below(self, seen: _Round, now: float) -> None:
        proportion = min(0.95, seen.in_flight / self._below.in_flight)
        if self.now > 1 and self._depth < _DEEPEST and seen.latency < self._below.latency * proportion**0.8:
            self._go_below(seen, _LOWER)
            return
        self._depth = self._rounds = 0
        self._looked_at = now
        # Where going down changed little, nothing queued before either, and two measurements are better than one.
        flat = seen.latency > self._below.latency * proportion**0.4
        change = self._rebase(0.5 * (seen.latency + self._below.latency) if flat else seen.latency)
        # While it stays what it is, look less often: each look costs a little of what could be delivered.
        self._look_after = min(2 * self._look_after, _LOOK_AGAIN_AT_MOST) if 0.8 < change < 1.25 else _LOOK_AGAIN
        before = self._before
        target = before.in_flight * self._gain(before.latency)
        self._set(min(target, max(before.in_flight, 0.95 * self._wall.level)))
        self._settling = 2

    def _rebase(self, latency: float) -> float:
        """Take `latency` as the base; returns how many times the old one it is."""
        change = latency / self._base
        if change > 1.5:
            # The same calls are longer under way, so more of them fit into the same pipe.
            self._wall.level *= change
        self._base = latency if not 0.8 < change < 1.25 else 0.5 * (self._base + latency)
        return change

    def _set(self, target: float, least: float = 0.5) -> None:
        target = max(target, self.now * least, 1.0)
        if target > self.now:
            target = max(target, self.now + 1)
        target = min(self.cap, self._wall.allows(self._began, target, self._good_before + self._good))
        new = max(1, math.ceil(target - 0.5))
        if new < 0.95 * self.now:
            self._settling = 2
        elif new > 1.3 * self.now:
            self._settling = 1
        self.now = new
