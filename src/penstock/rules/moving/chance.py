"""How likely is it by chance alone? Exact tails, for few requests make any approximation take chance for a difference.

The intervals of Wilson and Newcombe are too narrow at their lower ends where what is counted is rare: of equal arms
with one request in fifty each, they told 16 of 10,000 windows apart at 3.5 standard errors, where it should be two.
"""

from __future__ import annotations

import math
from collections.abc import Callable

_NOTHING = 1e-12
"""What is so much smaller than the sum adds nothing to it that could decide."""


def tail_of_share(count: int, total: int, share: float) -> float:
    """The probability of at least `count` of `total`, where each is one with the probability `share` (binomial)."""
    if count <= total * share or not count:
        return 1.0
    if share <= 0:
        return 0.0
    ways = math.lgamma(total + 1)
    log_share, log_rest = math.log(share), math.log1p(-share)

    def log_of(number: int) -> float:
        return (
            ways
            - math.lgamma(number + 1)
            - math.lgamma(total - number + 1)
            + number * log_share
            + (total - number) * log_rest
        )

    return _sum_down(log_of, count, total)


def tail_of_two(count: int, total: int, others: int, all_others: int) -> float:
    """The probability that at least `count` of `total` are, if it is by chance which of both groups those are in.

    That is R. A. Fisher's exact test, one-sided: `others` of `all_others` are in the other group.
    """
    found, everybody = count + others, total + all_others
    if not everybody or count * everybody <= found * total:
        return 1.0
    ways = _log_choose(everybody, found)

    def log_of(number: int) -> float:
        return _log_choose(total, number) + _log_choose(all_others, found - number) - ways

    return _sum_down(log_of, count, min(total, found))


def _sum_down(log_of: Callable[[int], float], first: int, last: int) -> float:
    """From above the middle on, each is smaller than the one before."""
    whole = 0.0
    for number in range(first, last + 1):
        one = math.exp(log_of(number))
        whole += one
        if one <= whole * _NOTHING:
            break
    return min(1.0, whole)


def _log_choose(total: int, count: int) -> float:
    return math.lgamma(total + 1) - math.lgamma(count + 1) - math.lgamma(total - count + 1)
