"""Everything that says when the next permit may be given, taken together: all or none."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from ..rules.limits.cost import CostWindow
from ..rules.limits.probe import Probe
from ..rules.limits.rate import LimitWindow, Pace, Window
from ..rules.limits.told_limits import MOST_HISTORY, Sends, ToldLimits
from .shared_window import SharedWindow


class Grant(NamedTuple):
    """A permit: since when, for how much, and where it is written down."""

    at: float
    weight: int
    cost: float
    stamps: tuple[tuple[LimitWindow, int, int], ...]
    """(window, cell, weight) of each."""
    probe: bool = False
    """Whether all others wait for its answer."""


class _NoLimit:
    """What stands for the limit where there is none: it allows everything, and knows what was sent."""

    __slots__ = ("_recent", "sent")

    def __init__(self) -> None:
        self.sent = 0
        self._recent: deque[float] = deque(maxlen=MOST_HISTORY)

    def earliest(self, weight: int) -> float:
        """At once."""
        return -math.inf

    def take(self, now: float, weight: int) -> None:
        """Remember `weight` sends at `now`."""
        self.sent += weight
        self._recent.append(now)
        if weight > 1:
            self._recent.extend([now] * min(weight - 1, MOST_HISTORY))

    def latest(self, most: int) -> list[float]:
        """The times of the last sends, oldest first."""
        return list(self._recent)[-most:]


class Bounds:
    """The user's limits, those the server told, limits on costs, a pace, and a probe. Times are clock seconds."""

    def __init__(self, windows: Sequence[LimitWindow], costs: Sequence[CostWindow], told: ToldLimits) -> None:
        self.windows = windows
        self.costs = costs
        self.told = told
        self.pace: Pace | None = None
        self.probe: Probe | None = None
        self._own = [window for window in windows if not isinstance(window, SharedWindow)]
        self._shared = [window for window in windows if isinstance(window, SharedWindow)]
        self._all = _NoLimit()
        """All sends, but for those that took the shortest way through the only limit, which knows them itself."""
        only = self._own[0] if len(windows) == len(self._own) == 1 else None
        self._only = only if isinstance(only, Window) else None if windows else self._all
        self.single: Window | _NoLimit | None = None
        """What to ask where nothing else bounds, the one limit there is or none: the shortest way to a permit."""
        self.refresh()

    def refresh(self) -> None:
        """To be called after `pace`, `probe` or `told` was changed."""
        self._told = self.told.active
        plain = self.pace is None and self.probe is None and not self.costs and not self._told
        self.single = self._only if plain else None

    @property
    def sent(self) -> int:
        """How many permits were taken."""
        return self.windows[0].sent if self.windows else self._all.sent

    def sends(self) -> Sends:
        """What was sent, as far as it is known."""
        known = self._all if self._only is None else self._only
        return Sends(known.sent, known.latest(MOST_HISTORY))

    def earliest(self, weight: int, cost: float) -> float:
        """When a permit may be given; in the past if at once.

        Raises UsageError for a weight or a cost that the user's limits will never allow.
        """
        when = -math.inf
        for window in self._own:
            when = max(when, window.earliest(weight))
        for costs in self.costs:
            when = max(when, costs.earliest(cost))
        if self._told:
            when = max(when, self._earliest_told(weight))
        if self.pace is not None:
            when = max(when, self.pace.earliest())
        if self.probe is not None:
            when = max(when, self.probe.earliest())
        return max(when, self._earliest_shared(weight, when)) if self._shared else when

    def _earliest_told(self, weight: int) -> float:
        when = self.told.earliest()
        for told in self.told.windows:
            # What the server tells must not raise, whatever it is.
            when = max(when, told.earliest(min(weight, told.limit.count)))
        return when

    def expected(self) -> float:
        """When the shared limits may allow a permit, without a reservation."""
        return max((window.expected() for window in self._shared), default=-math.inf)

    def _earliest_shared(self, weight: int, when: float) -> float:
        # Last, and only when all others are about to allow it: what is reserved there and not used is lost to all.
        if len(self._shared) > 1:
            when = max(when, *[window.expected(weight) for window in self._shared])
        for shared in self._shared:
            when = max(when, shared.earliest(weight, when))
        return when

    def take(self, now: float, weight: int, cost: float, *, waited: bool) -> Grant:
        """Take a permit that `earliest` allows at `now`."""
        self._all.take(now, weight)
        for costs in self.costs:
            costs.take(now, cost, waited=waited)
        if self.pace is not None:
            self.pace.take(now)
        probe = self.probe is not None and self.probe.take(now)
        stamps = [(window, window.take(now, weight, waited=waited), weight) for window in self.windows]
        if self._told:
            self.told.take(now)
            for told in self.told.windows:
                share = min(weight, told.limit.count)
                stamps.append((told, told.take(now, share, waited=waited), share))
        return Grant(now, weight, cost, tuple(stamps), probe)

    def give_back(self, grant: Grant) -> None:
        """What was permitted will not be sent."""
        self._all.sent -= grant.weight
        for window, cell, weight in grant.stamps:
            window.give_back(cell, weight)
        for costs in self.costs:
            costs.give_back(grant.cost, grant.at)
        if grant.probe and self.probe is not None:
            self.probe.ask()

    def restamp(self, grant: Grant, now: float) -> Grant | None:
        """What was permitted is really sent at `now`. None if the permit is void meanwhile, and given back."""
        if now > grant.at:
            for costs in self.costs:
                costs.restamp(grant.cost, grant.at, now)
        late, grant = now - grant.at, grant._replace(at=now)
        # A stall between permit and send would let a later send come too close to this one.
        if late <= 0.001:
            return grant
        kept = [window.restamp(cell, now, weight) for window, cell, weight in grant.stamps]
        if all(kept):
            return grant
        stamps = tuple(stamp for stamp, valid in zip(grant.stamps, kept, strict=True) if valid)
        self.give_back(grant._replace(stamps=stamps))
        return None

    def hold(self, until: float) -> None:
        """Start every pace again at `until`, so that the end of a pause is not a burst."""
        for window in (*self.windows, *self.told.windows):
            window.hold(until)
        for costs in self.costs:
            costs.hold(until)

    def release(self) -> None:
        """Nobody waits for a permit: hand back what was reserved for somebody."""
        for window in self._shared:
            window.release()
