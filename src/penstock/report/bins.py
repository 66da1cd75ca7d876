"""The bins of a histogram of durations: as wide as can be told apart, for a fast API as for a slow one. Pure."""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Sequence

_SHORTEST = 1e-5
_STEP = math.log(2) / 6
"""Of the logarithm, from one bin to the next, where the whole is wide."""
_LEAST_BINS = 32
_LEAST_RATIO = 1.25

Bin = tuple[float, float, float]
"""From, to, how many."""


def bin_edges(low: float, high: float) -> list[float]:
    """Where the bins of a histogram from `low` to `high` seconds begin and end: at equal ratios.

    An API that always takes the same gets a range around it too, so that there is something to be seen.
    """
    low = max(_SHORTEST, low)
    high = max(low, high)
    middle = math.sqrt(low * high)
    low, high = min(low, middle / _LEAST_RATIO), max(high, middle * _LEAST_RATIO)
    ratio = math.log(high / low)
    steps = math.ceil(ratio / min(_STEP, ratio / _LEAST_BINS) - 1e-9)
    return [low * math.exp(ratio * step / steps) for step in range(steps + 1)]


def spread_over(ranges: Sequence[Bin], places: Sequence[float]) -> tuple[Bin, ...]:
    """Counts of ranges (from, to, how many) as those of bins between `places`.

    What is in a range is taken as evenly spread over it, so a bin can hold a fraction; the sum stays.
    """
    heights = [0.0] * (len(places) - 1)
    for begin, end, found in ranges:
        begin, end = max(begin, places[0]), min(end, places[-1])
        first = min(max(0, bisect.bisect_right(places, begin) - 1), len(heights) - 1)
        if end <= begin:
            heights[first] += found
            continue
        for step in range(first, len(heights)):
            inside = min(end, places[step + 1]) - max(begin, places[step])
            if inside <= 0:
                break
            heights[step] += found * inside / (end - begin)
    return tuple((low, high, height) for (low, high), height in zip(itertools.pairwise(places), heights, strict=True))
