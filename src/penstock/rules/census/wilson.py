"""How sure is a share? The Wilson score interval, which stays sound at 0 %, at 100 % and for few trials.

The textbook interval p +- z * sqrt(p (1 - p) / n) has no width at p = 0 or 1, which is where a census lives.
Source: E. B. Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", JASA 22 (1927).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ...errors import UsageError

Z_95 = 1.959963984540054
"""The two-sided 95 % point of the normal distribution."""


@dataclass(frozen=True, slots=True)
class Interval:
    """From `low` to `high`, both shares between 0 and 1, both included."""

    low: float
    high: float


def wilson(successes: int, total: int, z: float = Z_95) -> Interval:
    """The interval for `successes` of `total`; from 0 to 1 when there was no trial: nothing is known then.

    Raises UsageError unless 0 <= successes <= total and z is a number from 0 up.
    """
    if not 0 <= successes <= total:
        raise UsageError(f"{successes} of {total} is not a share")
    if not 0 <= z < math.inf:
        raise UsageError(f"z must be a number from 0 up, not {z}")
    if total == 0:
        return Interval(0.0, 1.0)
    share = successes / total
    spread = z * z / total
    centre = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(share * (1 - share) / total + spread / total / 4)
    # The ends are exact by algebra; rounding would leave 1e-17 or 0.9999999999999999 there.
    low = 0.0 if successes == 0 else max(0.0, min(share, centre - half))
    high = 1.0 if successes == total else min(1.0, max(share, centre + half))
    return Interval(low, high)
