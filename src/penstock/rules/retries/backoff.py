"""How long to pause before the next attempt: exponential, capped, with full jitter.

Full jitter (a uniform draw between nothing and the exponential bound) spreads the retries of calls that failed
together better than a jitter around the bound: AWS Architecture Blog, "Exponential Backoff And Jitter" (2015).
"""

from __future__ import annotations


def backoff(attempt: int, chance: float, *, base: float = 0.5, cap: float = 60.0) -> float:
    """Seconds to wait after failed attempt number `attempt` (from 1), `chance` being uniform in [0, 1).

    Never more than `cap`, however many attempts: the exponent is bounded before it can overflow.
    """
    bound = min(cap, base * 2.0 ** min(max(attempt, 1) - 1, 64))
    # The bounds stand first, so that a NaN loses every comparison with them.
    return max(0.0, bound) * min(1.0, max(0.0, chance))
