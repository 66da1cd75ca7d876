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
MOST_MORE_STEAL = 0.3
"""So much more of its time with work than usual may the host take from a server whose failure at a rate counts."""
WORTH_TELLING = 0.1
"""From such a share of the time with work on, it is told that the host took it."""
MOST_SPOILT = 1 / 3
"""Of all slices."""
MOST_SPREAD = 0.1
MOST_FAILED = 0.001
"""Of the requests of an arm."""


MOST_OTHER_STATUSES = 0.1
"""Of the answers of an arm."""
MOST_AFTERWARDS, LEAST_AFTERWARDS = 0.1, 0.02
"""Of the CPU of the servers may fall into the turns of other arms; less than so much of a core never matters."""


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


def is_vote(one: Slice, target: float, usual_steal: float) -> bool:
    """Whether a slice says if its rate can be kept. A failure says nothing where the host took more than usual."""
    wrong = disturbance(one, target)
    # A client that is late where requests wait for a server in vain says nothing against the failure.
    if wrong is not None and not (one.was_cut and wrong is Disturbance.LATE):
        return False
    return one.keeps(target) or one.steal <= usual_steal + MOST_MORE_STEAL


def _worst(kind: Disturbance, bad: Sequence[Slice], target: float) -> str:
    if kind is Disturbance.NEIGHBOUR:
        most = max(one.neighbours for one in bad)
        return f"a neighbour was busy where the server runs: a process of this machine, with up to {most:.0%} of a core"
    rate = max(one.rate for one in bad)
    if kind is Disturbance.CLIENT:
        most = max(one.client_cpu for one in bad)
        return f"the client that makes the load was at its limit: {most:.0%} of a core at {rate:,.0f}/s"
    late = max(one.late for one in bad)
    return (
        f"the client that makes the load was late: 1 % of its requests by {late * 1e3:.0f} ms or more at "
        f"{rate:,.0f}/s, where {MOST_LATE * target * 1e3:.0f} ms are allowed; it has too little of a core{_taken(bad)}"
    )


def _taken(bad: Sequence[Slice]) -> str:
    most = max(one.client_steal for one in bad)
    return "" if most <= WORTH_TELLING else f": the host took up to {most:.0%} of the time in which it had work"


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


def other_answers(slices: Sequence[Slice], control: str, arm: str) -> Obstacle | None:
    """Whether the arm answers with other statuses than the control, or with nothing: what does less is cheap."""
    own, others = _statuses(slices, control), _statuses(slices, arm)
    if not own or not others:
        return None
    mine = _shares(others)
    different = sum(max(0.0, share - mine.get(status, 0.0)) for status, share in _shares(own).items())
    if different > MOST_OTHER_STATUSES:
        why = f"it answers {_told(others)}; the control {_told(own)}"
    elif _bytes(slices, control) and not _bytes(slices, arm):
        why = "its answers are empty, and those of the control are not"
    else:
        return None
    return Obstacle("answers", f"{named(arm)} does something else: {why}")


def redirects(slices: Sequence[Slice], arm: str) -> bool:
    """Whether most answers of the arm send the client elsewhere, perhaps to a login."""
    shares = _shares(_statuses(slices, arm))
    return sum(share for status, share in shares.items() if 300 <= status < 400 and status != 304) > 0.5


def _statuses(slices: Sequence[Slice], arm: str) -> Counter[int]:
    found = Counter[int]()
    for one in slices:
        if one.arm == arm:
            found.update(one.statuses)
    return found


def _shares(statuses: Counter[int]) -> dict[int, float]:
    return {status: count / statuses.total() for status, count in statuses.items()}


def _told(statuses: Counter[int]) -> str:
    return ", ".join(f"HTTP {status} ({share:.0%})" for status, share in sorted(_shares(statuses).items()))


def _bytes(slices: Sequence[Slice], arm: str) -> int:
    return sum(one.body_bytes for one in slices if one.arm == arm)


def afterwards(slices: Sequence[Slice]) -> Obstacle | None:
    """Whether the servers work on when they have answered: nobody can tell then what a request costs."""
    served, other = sum(one.server_cpu for one in slices), sum(one.other_cpu for one in slices)
    if other <= max(MOST_AFTERWARDS * served, LEAST_AFTERWARDS * sum(one.seconds for one in slices)):
        return None
    return Obstacle(
        "afterwards",
        f"the servers work on after they have answered: {other / (served + other):.0%} of their CPU fell into the "
        "turns of other arms, so that nobody knows what a request costs",
    )


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
