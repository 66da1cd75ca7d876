"""When to ask whether a peer that has taken a request is done with it. Where: see `answers/polling`."""

from __future__ import annotations

FIRST_DELAY = 1.0
LAST_DELAY = 30.0
"""Seconds between two questions, where the peer does not say."""


def poll_delay(polls: int, retry_after: float | None, chance: float) -> float:
    """Seconds until question number `polls` (from 1); `chance` is uniform in [0, 1).

    What the peer asks for is never shortened; some ask for 0, and mean nothing by it.
    """
    if retry_after:
        return retry_after + 0.1 * min(retry_after, 10.0) * chance
    bound = min(LAST_DELAY, FIRST_DELAY * 2.0 ** min(max(polls, 1) - 1, 16))
    return bound * (1.0 - 0.25 * chance) if polls > 1 else bound
