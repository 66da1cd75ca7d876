"""How many times as much one arm needs as another, and how sure that is, from pairs that a busy machine spoils.

The requests of a block are sent to the arms in the order A B B A, again and again: what drifts, or changes within
tenths of a second, is the same for both. Of each block comes one logarithm of a ratio. What is said of them is the
estimate of Hodges and Lehmann, the median of all averages of two, with the interval that belongs to Wilcoxon's signed
ranks. It needs no chance and no normal distribution, only that noise is as likely to favour the one as the other, which
the order of the requests sees to; and a few blocks that went wrong move it little.

Source: J. L. Hodges, E. L. Lehmann, "Estimates of Location Based on Rank Tests", Ann. Math. Statist. 34 (1963);
M. Hollander, D. A. Wolfe, E. Chicken, "Nonparametric Statistical Methods", 3rd ed. (2014), 3.2 and 3.3.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import median

CONFIDENCE = 0.99
"""So often the interval of a fixed number of blocks holds the true ratio."""
LOOKS = (8, 12, 17, 24, 34, 48, 68, 96)
"""After so many blocks it is asked whether that is enough. Asked after each, luck would be met more often."""
_NORMAL = 1.4826
"""The standard deviation of normal noise, in median absolute deviations."""

Block = Mapping[str, float]
"""What a request needed in a block, by arm."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """So many times as much, with the interval that holds it."""

    value: float
    low: float
    high: float

    @property
    def reach(self) -> float:
        """How far the interval goes from the value, as a share of it: 0.03 is +-3 %."""
        return max(self.high / self.value, self.value / self.low) - 1

    def __str__(self) -> str:
        return f"{self.value:.2f}x ({self.low:.2f} to {self.high:.2f})"


def turns_of(arms: Sequence[str], number: int) -> list[str]:
    """Which arm each request of block `number` is for: A B B A over and over, then B A A B; with three A B C C B A."""
    turned = [*arms[number % len(arms) :], *arms[: number % len(arms)]]
    return [*turned, *reversed(turned)]


def log_ratios(blocks: Sequence[Block], one: str, other: str) -> list[float]:
    """For each block, the logarithm of how many times as much `one` needed as `other`."""
    return [math.log(block[one] / block[other]) for block in blocks]


def ratio_of(logs: Sequence[float], confidence: float = CONFIDENCE) -> Ratio | None:
    """The ratio with its interval; None where there are too few blocks for any interval."""
    beyond = _beyond(len(logs), (1 - confidence) / 2)
    if beyond is None:
        return None
    averages = sorted((one + other) / 2 for index, one in enumerate(logs) for other in logs[index:])
    return Ratio(math.exp(median(averages)), math.exp(averages[beyond]), math.exp(averages[-1 - beyond]))


def spread(logs: Sequence[float]) -> float:
    """How far the ratios of single blocks lie apart, as a share: the median absolute deviation, as of normal noise."""
    if not logs:
        return 0.0
    middle = median(logs)
    return math.expm1(_NORMAL * median(abs(each - middle) for each in logs))


@lru_cache(maxsize=256)
def _beyond(count: int, tail: float) -> int | None:
    """How many averages lie beyond each end of the interval, from the signed-rank sum that is rarer than `tail`.

    None: even a sum of 0 is not as rare.
    """
    ways = [1]
    for rank in range(1, count + 1):
        longer = ways + [0] * rank
        for total, number in enumerate(ways):
            longer[total + rank] += number
        ways = longer
    allowed, seen = tail * 2**count, 0
    for total, number in enumerate(ways):
        seen += number
        if seen > allowed:
            return total - 1 if total else None
    return None
