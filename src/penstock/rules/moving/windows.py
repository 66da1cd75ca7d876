"""What happened to the arms of a route lately: differences of counts that only grow, worker by worker.

A sum over workers shrinks when one of them ends; so each is followed by itself, and what is added up are differences.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

_S = TypeVar("_S")

SECONDS = 10.0
"""So long a window is judged."""
LATELY = 1.5
"""A loop that is held is judged over the last of it, too: nobody else is served meanwhile."""
_APART = 1.0
"""Seconds between two samples that are kept whole; what is between them is only the time that loops were held."""

Arms = Mapping[str, "ArmCounts"]
"""The counts of a route by arm."""


@dataclass(frozen=True, slots=True)
class ArmCounts:
    """What became of the requests of one arm; durations are seconds."""

    begun: int = 0
    ended: int = 0
    errors: int = 0
    shed: int = 0
    keyless: int = 0
    blocked: float = 0.0
    """For so long the event loop was held in steps that are noticed, the one that is running included."""
    total: float = 0.0
    largest: float = 0.0
    backs: tuple[int, ...] = ()
    """How often it was taken back, by kind in the order of `judge.KINDS`."""
    lost: Mapping[str, int] = field(default_factory=dict)
    buckets: tuple[int, ...] = ()
    """How many took how long; the one who counts knows the bounds. Empty: none."""

    @property
    def in_flight(self) -> int:
        """Those that are not over."""
        return max(0, self.begun - self.ended)


def difference(now: ArmCounts, then: ArmCounts) -> ArmCounts:
    """What was counted between two looks at the same worker. `largest` is that of `now`: nobody knows a later one."""
    return ArmCounts(
        begun=now.begun - then.begun,
        ended=now.ended - then.ended,
        errors=now.errors - then.errors,
        shed=now.shed - then.shed,
        keyless=now.keyless - then.keyless,
        # A running step that turned out too short to be counted makes it smaller.
        blocked=max(0.0, now.blocked - then.blocked),
        total=now.total - then.total,
        largest=now.largest,
        backs=_each(now.backs, then.backs, -1),
        lost={name: count - then.lost.get(name, 0) for name, count in now.lost.items()},
        buckets=_each(now.buckets, then.buckets, -1),
    )


def together(many: Iterable[ArmCounts]) -> ArmCounts:
    """The sum."""
    found = ArmCounts()
    for each in many:
        found = ArmCounts(
            begun=found.begun + each.begun,
            ended=found.ended + each.ended,
            errors=found.errors + each.errors,
            shed=found.shed + each.shed,
            keyless=found.keyless + each.keyless,
            blocked=found.blocked + each.blocked,
            total=found.total + each.total,
            largest=max(found.largest, each.largest),
            backs=_each(found.backs, each.backs, 1),
            lost={name: found.lost.get(name, 0) + each.lost.get(name, 0) for name in {**found.lost, **each.lost}},
            buckets=_each(found.buckets, each.buckets, 1),
        )
    return found


def _each(left: tuple[int, ...], right: tuple[int, ...], sign: int) -> tuple[int, ...]:
    if not right:
        return left
    if not left:
        return right if sign > 0 else tuple(-each for each in right)
    return tuple(one + sign * other for one, other in zip(left, right, strict=True))


class StageWindow:
    """Samples of one route, from the beginning of a stage on."""

    def __init__(self) -> None:
        self._first: dict[str, dict[str, ArmCounts]] = {}
        self._kept: deque[tuple[float, Mapping[str, Arms]]] = deque()
        self._held: deque[tuple[float, dict[str, dict[str, float]]]] = deque()
        self._now: Mapping[str, Arms] = {}
        self._began = self._at = 0.0
        self._mark: tuple[float, Mapping[str, Arms]] | None = None

    def add(self, now: float, workers: Mapping[str, Arms]) -> None:
        """`workers`: the counts of each that lives, by its name. `now` is in seconds, and never goes back."""
        if not self._kept:
            self._began = now
        self._now, self._at = workers, now
        for worker, arms in workers.items():
            first = self._first.setdefault(worker, {})
            for arm, counts in arms.items():
                first.setdefault(arm, counts)
        for gone in self._first.keys() - workers.keys():
            del self._first[gone]
        if not self._kept or now - self._kept[-1][0] >= _APART:
            self._kept.append((now, workers))
        self._held.append((now, {worker: _held(arms) for worker, arms in workers.items()}))
        _forget(self._kept, now - SECONDS)
        _forget(self._held, now - LATELY)

    def lately(self, arm: str) -> ArmCounts:
        """What all workers together have counted within the window."""
        return together(self._grown(arm).values())

    def in_all(self, arm: str) -> ArmCounts:
        """The same since the stage began."""
        return together(
            difference(arms[arm], self._first[worker][arm]) for worker, arms in self._now.items() if arm in arms
        )

    def mark(self) -> None:
        """From now on, `since_mark` counts."""
        self._mark = self._at, self._now

    def unmark(self) -> None:
        """There is no mark any more."""
        self._mark = None

    def marked_for(self) -> float | None:
        """Seconds since the mark; None where there is none."""
        return None if self._mark is None else self._at - self._mark[0]

    def since_mark(self, arm: str) -> ArmCounts:
        """What all workers together have counted since then; of who came later, all."""
        before = {} if self._mark is None else self._mark[1]
        return together(
            difference(arms[arm], before.get(worker, {}).get(arm, ArmCounts()))
            for worker, arms in self._now.items()
            if arm in arms
        )

    def seconds(self) -> float:
        """How long the stage has been looked at."""
        return self._at - self._began

    def blocked(self, arm: str) -> float:
        """The largest share of the window, 0 to 1, for which the arm held the loop of one worker."""
        return max((each.blocked for each in self._grown(arm).values()), default=0.0) / SECONDS

    def blocked_now(self, arm: str) -> float:
        """The same of the last moments alone."""
        longest = 0.0
        for worker, arms in self._now.items():
            if arm in arms:
                then = next((sample[worker][arm] for _, sample in self._held if arm in sample.get(worker, ())), 0.0)
                longest = max(longest, arms[arm].blocked - then)
        return longest / LATELY

    def _grown(self, arm: str) -> dict[str, ArmCounts]:
        grown = {}
        for worker, arms in self._now.items():
            if arm in arms:
                # Who came later is followed from its first sample on.
                then = next((sample[worker] for _, sample in self._kept if arm in sample.get(worker, ())), arms)
                grown[worker] = difference(arms[arm], then[arm])
        return grown


def _held(arms: Arms) -> dict[str, float]:
    return {arm: counts.blocked for arm, counts in arms.items()}


def _forget(samples: deque[tuple[float, _S]], until: float) -> None:
    """Keep one that is as old as the window, and all that are younger."""
    while len(samples) > 1 and samples[1][0] <= until:
        samples.popleft()
