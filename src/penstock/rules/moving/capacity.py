"""The search for the highest rate that keeps a target, for several arms on the same rungs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from .pairs import Ratio

DOUBLING = 18
"""Rungs from a rate to twice as much; two that follow each other are 3.9 % apart."""
VOTES = 2
"""So many slices of at most three decide a rung: a single bad one once ended a search at a third of what was there."""
NEAR = 1.25
"""A search that ran out of time has said something where its two ends are no further apart than this."""
USED = 0.7
"""So much of the CPU the search starts with."""


@dataclass(slots=True)
class Bracket:
    """What is known of one arm, in rungs from the first one; None: not known yet."""

    held: int | None = None
    failed: int | None = None
    ended: str | None = None
    """Why it was not searched any further."""

    @property
    def is_done(self) -> bool:
        """Whether there is nothing left to find out."""
        return self.ended is not None or (
            self.held is not None and self.failed is not None and self.failed - self.held <= 1
        )

    def needs(self, rung: int) -> bool:
        """Whether this rung would tell anything new."""
        above = self.held is None or rung > self.held
        return not self.is_done and above and (self.failed is None or rung < self.failed)

    def next_rung(self) -> int:
        """Doubling until it fails (or halving until it holds), and then the middle."""
        if self.failed is None:
            return 0 if self.held is None else self.held + DOUBLING
        return self.failed - DOUBLING if self.held is None else (self.held + self.failed) // 2


@dataclass(slots=True)
class RateSearch:
    """Says which slice is next, and learns whether it kept the target.

    `start`, `lowest` and `highest` are requests a second. An arm that holds at the highest is not asked for more.
    """

    arms: Sequence[str]
    start: float
    lowest: float = 0.5
    highest: float = 100_000.0
    brackets: dict[str, Bracket] = field(init=False)
    _rung: int = 0
    _votes: dict[str, list[bool]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.brackets = {arm: Bracket() for arm in self.arms}
        self._votes = {arm: [] for arm in self.arms}

    def rate(self, rung: int) -> float:
        """Requests a second."""
        return float(self.start * 2 ** (rung / DOUBLING))

    def next_slice(self) -> tuple[str, float] | None:
        """Which arm at which rate; None when all is found."""
        open_here = {arm: votes for arm, votes in self._votes.items() if self.brackets[arm].needs(self._rung)}
        if not open_here:
            self._climb()
            open_here = {arm: votes for arm, votes in self._votes.items() if self.brackets[arm].needs(self._rung)}
        if not open_here:
            return None
        fewest = min(map(len, open_here.values()))
        waiting = [arm for arm, votes in open_here.items() if len(votes) == fewest]
        # There and back: no arm is always the first one.
        return waiting[0 if fewest % 2 == 0 else -1], self.rate(self._rung)

    def note(self, arm: str, *, kept: bool) -> None:
        """What became of the slice that `next_slice` asked for."""
        votes, bracket = self._votes[arm], self.brackets[arm]
        votes.append(kept)
        if votes.count(kept) < VOTES:
            return
        if kept:
            bracket.held = self._rung
        else:
            bracket.failed = self._rung
        if kept and self.rate(self._rung + 1) > self.highest:
            bracket.ended = f"no more than {self.highest:,.0f}/s were tried"
        elif not kept and self.rate(self._rung - DOUBLING) < self.lowest and bracket.held is None:
            bracket.ended = f"not even {self.rate(self._rung):.3g}/s keep the target"

    def give_up(self, arm: str, why: str) -> None:
        """Search this arm no further; what is known of it stays."""
        self.brackets[arm].ended = why

    def capacity(self, arm: str) -> Capacity:
        """What is known by now."""
        found = self.brackets[arm]
        held = None if found.held is None else self.rate(found.held)
        return Capacity(held, None if found.failed is None else self.rate(found.failed), found.ended)

    def _climb(self) -> None:
        """To the rung that the arm of which least is known wants next."""
        open_arms = [each for each in self.brackets.values() if not each.is_done]
        if open_arms:
            widest = max(open_arms, key=_width)
            self._rung = min(widest.next_rung(), self._top())
            self._votes = {arm: [] for arm in self.arms}

    def _top(self) -> int:
        rung = 0
        while self.rate(rung + 1) <= self.highest:
            rung += 1
        return rung


@dataclass(frozen=True, slots=True)
class Capacity:
    """The highest rate that kept the target, and the lowest that did not, in requests a second."""

    held: float | None
    failed: float | None
    ended: str | None = None

    @property
    def is_found(self) -> bool:
        """Whether both ends are known, and near enough to each other to count instances by."""
        return self.held is not None and self.failed is not None and self.failed / self.held <= NEAR


def rate_ratio(control: Capacity, arm: Capacity) -> Ratio | None:
    """How many times as much the arm can take; from what one surely keeps to what the other surely does not.

    None where either end is not known.
    """
    if control.held is None or arm.held is None or control.failed is None or arm.failed is None:
        return None
    return Ratio(arm.held / control.held, arm.held / control.failed, arm.failed / control.held)


def _width(bracket: Bracket) -> int:
    if bracket.held is None or bracket.failed is None:
        return 10_000
    return bracket.failed - bracket.held


def luck_of(control: Sequence[bool], arm: Sequence[bool]) -> float:
    """How likely it is by luck alone that of slices at one rate, interleaved, those of the arm kept the target so much
    more often than those of the control.

    The one-sided test of R. A. Fisher ("Statistical Methods for Research Workers", 5th ed., 1934), which is exact.
    """  # noqa: D205
    from math import comb

    kept = sum(control) + sum(arm)
    every = len(control) + len(arm)
    most = min(kept, len(arm))
    ways = sum(comb(len(arm), each) * comb(len(control), kept - each) for each in range(sum(arm), most + 1))
    return ways / comb(every, kept)
