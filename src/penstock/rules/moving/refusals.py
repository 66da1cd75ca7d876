"""What forbids to say anything: a client at its limit, a neighbour, pairs that disagree, errors.

A number that was measured under any of these would look like all others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from .slices import Slice
from .state import CONTROL

MOST_LATE = 0.2
"""Of the target: so late may 1 % of the requests be sent."""
MOST_CLIENT_CPU = 0.8
MOST_NEIGHBOURS = 0.1
MOST_SPOILT = 1 / 3
"""Of all slices."""
MOST_SPREAD = 0.1
MOST_FAILED = 0.001
"""Of the requests of an arm."""


class Disturbance(Enum):
    """What spoilt a slice."""

    LATE = "late"
    CLIENT = "client"
    NEIGHBOUR = "neighbour"


@dataclass(frozen=True, slots=True)
class Obstacle:
    """`kind` for programs, `why` for people."""

    kind: str
    why: str


def disturbance(one: Slice, target: float) -> Disturbance | None:
    """What makes this slice worth nothing; None: it is good. `target` is the p99 to keep, in seconds."""
    if one.neighbours > MOST_NEIGHBOURS:
        return Disturbance.NEIGHBOUR
    if one.client_cpu > MOST_CLIENT_CPU:
        return Disturbance.CLIENT
    if one.late > MOST_LATE * target:
        return Disturbance.LATE
    return None


def spoilt(slices: Sequence[Slice], target: float) -> Obstacle | None:
    """Whether too many slices are worth nothing, and for what."""
    found = Counter(each for one in slices if (each := disturbance(one, target)) is not None)
    if sum(found.values()) <= MOST_SPOILT * len(slices):
        return None
    worst = found.most_common(1)[0][0]
    bad = [one for one in slices if disturbance(one, target) is worst]
    return Obstacle(worst.value, f"{_worst(worst, bad, target)} ({len(bad)} of {len(slices)} slices)")


def _worst(kind: Disturbance, bad: Sequence[Slice], target: float) -> str:
    if kind is Disturbance.NEIGHBOUR:
        most = max(one.neighbours for one in bad)
        return f"a neighbour was busy where the server runs, with up to {most:.0%} of a core"
    rate = max(one.rate for one in bad)
    if kind is Disturbance.CLIENT:
        most = max(one.client_cpu for one in bad)
        return f"the client that makes the load was at its limit: {most:.0%} of a core at {rate:,.0f}/s"
    late = max(one.late for one in bad)
    return (
        f"the client that makes the load was late: 1 % of its requests by {late * 1e3:.0f} ms or more at "
        f"{rate:,.0f}/s, where {MOST_LATE * target * 1e3:.0f} ms are allowed; it has too little of a core"
    )


def errors(slices: Sequence[Slice], arm: str) -> Obstacle | None:
    """Whether too many requests of this arm failed: what answers wrongly is cheap."""
    mine = [one for one in slices if one.arm == arm]
    failed, sent = sum(one.failed for one in mine), sum(one.sent for one in mine)
    if failed <= MOST_FAILED * sent:
        return None
    why = Counter[str]()
    for one in mine:
        why.update(one.why_failed)
    reasons = ", ".join(f"{count} x {what}" for what, count in why.most_common(3))
    return Obstacle("errors", f"errors in {named(arm)}: {failed} of {sent} ({reasons})")


def disagreement(spreads: Mapping[str, float]) -> Obstacle | None:
    """Whether the pairs of an arm disagree: `spreads` is how far their ratios lie apart, by arm."""
    arm, most = max(spreads.items(), key=lambda each: each[1], default=("", 0.0))
    if most <= MOST_SPREAD:
        return None
    return Obstacle(
        "disagreement",
        f"the pairs of {named(arm)} disagree: their ratios lie {most:.0%} apart, where {MOST_SPREAD:.0%} are allowed",
    )


def named(arm: str) -> str:
    """How an arm is called in a sentence."""
    return "the control" if arm == CONTROL else f"arm {arm!r}"
