"""The same limits for each key (a host, a customer) by itself, in bounded memory.

Nobody waits in here. Who may not be sent yet is told when to come back, so that the one who asks can do something for
other keys until then. There are two questions, because a connection may have to be opened between them: `turn` spreads
those of a key evenly, and `take` is asked at the moment of the send and keeps the limits.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Hashable, Iterable
from typing import Any, NamedTuple, Protocol

from ..errors import UsageError
from ..rules.limits.probe import Probe
from ..rules.limits.rate import CATCH_UP_IDLE, CATCH_UP_WAITED, Limit, default_guard, parse_limit
from ..rules.retries.backoff import backoff

MOST_KEYS = 100_000
"""Keys with sends that still count; a key beyond that waits until another has none any more."""

_SHORTEST_PAUSE = 0.05
_LOOKS, _LOOK_AGAIN = 8, 1.0


class Log(Protocol):
    """Is told of every send and every pause, so that another process can go on from there."""

    def sent(self, key: Any, now: float, /) -> None:
        """A call for `key` is sent at `now`."""
        ...

    def paused(self, key: Any, until: float, /) -> None:
        """No call for `key` is sent before `until`."""
        ...


class KeyedLimiter:
    """Permits for keys, each under `limits` of its own. Times are seconds on one monotonic clock.

    `guard` as for a RateLimiter. The cost of a permit is O(limits), the memory that of the sends that still count.
    Raises UsageError for limits that cannot be kept.
    """

    log: Log | None = None

    def __init__(
        self, limits: Iterable[Limit | str], *, guard: float | None = None, most_keys: int = MOST_KEYS
    ) -> None:
        self.limits = tuple(parse_limit(each) if isinstance(each, str) else each for each in limits)
        if not self.limits:
            raise UsageError("limits for each key need at least one limit")
        if any(limit.name for limit in self.limits):
            raise UsageError("a limit that has a name is one for all; it cannot be one for each key")
        if guard is not None and not 0 <= guard < math.inf:
            raise UsageError(f"the guard must be a number of seconds from 0 up, not {guard}")
        self._bounds = [
            _Bound(limit.count, limit.seconds + (default_guard(limit) if guard is None else guard))
            for limit in self.limits
        ]
        self.longest = max(bound.span for bound in self._bounds)
        """Seconds for which a send counts."""
        self._interval = max(bound.span / bound.most for bound in self._bounds)
        self._most_log = max(bound.most for bound in self._bounds)
        self._free_at = -math.inf
        self._keys: OrderedDict[Hashable, _Key] = OrderedDict()
        self._most_keys = most_keys

    def __len__(self) -> int:
        """How many keys are known."""
        return len(self._keys)

    def turn(self, key: Hashable, now: float, *, waited: bool = False) -> float:
        """When it is the turn of the next call for `key`: `now`, and then it has it; otherwise ask again at that time.

        Turns are an interval apart. `waited`: somebody asked before, so lateness is caught up.
        """
        state = self._keys.get(key)
        if state is None:
            when = max(self._room(now), self._free_at)
            if when > now:
                return when
            state = self._keys[key] = _Key(self._free_at)
        self._keys.move_to_end(key)
        when = max(state.turn, self._allowed(state, now))
        if when > now:
            return when
        # As a Window does: lateness is caught up, idleness is not.
        if waited:
            state.turn = max(state.turn, now - CATCH_UP_WAITED)
        elif state.turn < now - CATCH_UP_IDLE:
            state.turn = now
        state.turn += self._interval
        return now

    def take(self, key: Hashable, now: float) -> float:
        """A permit for one who had his turn, if the result is `now`; otherwise the time at which to ask again."""
        when = self.earliest(key, now)
        if when > now:
            return when
        state = self._state(key)
        self._keys.move_to_end(key)
        if state.probe is not None:
            state.probe.take(now)
        self._note(state, now)
        if self.log is not None:
            self.log.sent(key, now)
        return now

    def count_as_used_up(self, at: float) -> None:
        """Before the first permit: at time `at` the limits of every key count as used up."""
        self._free_at = at + self.longest

    def remember(self, key: Hashable, sent: float) -> None:
        """Before the first permit: a call for `key` was sent at `sent`. To be told in order of time."""
        state = self._state(key)
        self._note(state, sent)
        state.turn = max(state.turn, sent + self._interval)

    def _note(self, state: _Key, sent: float) -> None:
        state.sends.append(sent)
        if len(state.sends) > self._most_log:
            state.sends.popleft()

    def earliest(self, key: Hashable, now: float) -> float:
        """When `take` would give a permit: `now`, or later."""
        state = self._keys.get(key)
        if state is None:
            return max(self._room(now), self._free_at)
        return max(now, self._allowed(state, now))

    def pause_until(self, key: Hashable, when: float) -> None:
        """No permit for `key` before `when`; never shortened by a shorter one."""
        state = self._state(key)
        if when > state.paused_until:
            state.paused_until = when
            state.turn = max(state.turn, when)
            if self.log is not None:
                self.log.paused(key, when)

    def throttled(self, key: Hashable, retry_after: float | None, now: float, chance: float) -> None:
        """The peer refused a call for `key` at `now`: as `RateLimiter.throttled`, for this key alone."""
        state = self._state(key)
        if retry_after is None:
            if now < state.paused_until:
                return
            state.episodes += 1
            retry_after = max(_SHORTEST_PAUSE, backoff(state.episodes, chance))
        state.probe = state.probe or Probe()
        state.probe.ask()
        self.pause_until(key, now + retry_after)

    def answered(self, key: Hashable, sent: float = math.inf, *, good: bool = True) -> bool:
        """The peer answered a call for `key` that was sent at `sent`; see `RateLimiter.answered`.

        True if others of the key have waited for that, and may come earlier than they were told.
        """
        state = self._keys.get(key)
        if state is None:
            return False
        if good:
            state.episodes = 0
        if state.probe is None or not state.probe.answered(sent):
            return False
        state.probe = None
        return True

    def paused_until(self, key: Hashable) -> float:
        """Until when `key` is paused; -inf if it is not known."""
        state = self._keys.get(key)
        return -math.inf if state is None else state.paused_until

    def _state(self, key: Hashable) -> _Key:
        state = self._keys.get(key)
        if state is None:
            state = self._keys[key] = _Key(self._free_at)
        return state

    def _allowed(self, state: _Key, now: float) -> float:
        when = max(state.paused_until, self._logged(state, now))
        return when if state.probe is None else max(when, state.probe.earliest())

    def _logged(self, state: _Key, now: float) -> float:
        """When the logs of all limits allow a send."""
        sends = state.sends
        while sends and sends[0] + self.longest <= now:
            sends.popleft()
        when = -math.inf
        for most, span in self._bounds:
            if len(sends) >= most:
                when = max(when, sends[-most] + span)
        return when

    def _room(self, now: float) -> float:
        """When there is room for one more key; at once where one can be forgotten."""
        if len(self._keys) < self._most_keys:
            return now
        soonest = now + _LOOK_AGAIN
        # Those that were used least lately; a key whose sends do not count any more is as one never seen.
        for _ in range(min(_LOOKS, len(self._keys))):
            key, state = next(iter(self._keys.items()))
            last = state.sends[-1] if state.sends else -math.inf
            when = max(last + self.longest, state.paused_until, state.turn)
            if when <= now:
                del self._keys[key]
                return now
            # One that is paused for an hour must not stand before all others.
            self._keys.move_to_end(key)
            soonest = min(soonest, when)
        return soonest


class _Bound(NamedTuple):
    most: int
    span: float


class _Key:
    """What is known of one key: the times of its sends that still count, and its pace."""

    __slots__ = ("episodes", "paused_until", "probe", "sends", "turn")

    def __init__(self, free_at: float) -> None:
        self.sends: deque[float] = deque()
        self.turn = free_at
        """When the next one may have it, as far as an even pace is concerned."""
        self.paused_until = free_at
        self.episodes = 0
        self.probe: Probe | None = None
