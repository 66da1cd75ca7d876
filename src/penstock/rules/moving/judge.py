"""Whether an arm is taken back, and why: what is known of it for certain is worse than the control by the limit.

Few requests make any share look large or small. So that an arm is worse must not be chance (`chance`), and that it is
worse by more than the limit must hold at the near end of an interval: for the difference of two shares the hybrid of R.
G. Newcombe ("Interval estimation for the difference between independent proportions", Statistics in Medicine 17, 1998),
made of two of E. B. Wilson's. A p99 is larger than a bound where more than 1 % of requests are, and that is a share.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from ..census.wilson import wilson
from .chance import tail_of_share, tail_of_two
from .state import BackLimits

KINDS = ("errors", "p99", "blocked", "shed")
"""What a reason is about; it begins with one of these."""
Z = 3.0
"""Half the width of an interval in standard errors."""
CHANCE = 1e-5
"""What is likelier than this by chance is taken for chance. Windows are judged four times a second, for hours and in
every worker: at one in forty equal arms would be told apart within minutes. `benchmarks/move_back.py` counts it."""
ANOTHER_LOOK = 1.0
"""Seconds after which requests that came since must say the same, where `needs_another_look`."""
LEAST, LEAST_DURATIONS = 20, 50
"""Requests of an arm below which its errors, and its durations, say nothing."""
_SLOWEST = 0.01
_DOUBT = 0.01
"""Less certain than `CHANCE`, for it speaks for the arm."""
_LATELY_TIMES = 2.5
"""A loop that is held for so many times the limit is not waited for until the window is full of it."""


class Durations(Protocol):
    """How long requests took."""

    @property
    def count(self) -> int:
        """How many they are."""
        ...

    def quantile(self, share: float) -> float | None:
        """The duration in seconds that `share` of them are at most; None where there are none."""
        ...

    def slower_than(self, seconds: float) -> int:
        """How many took longer."""
        ...


@dataclass(frozen=True, slots=True)
class ArmSeen:
    """What was seen of one arm over some time."""

    durations: Durations
    errors: int = 0
    shed: int = 0
    blocked: float = 0.0
    """The largest share of a worker's time, 0 to 1, for which the arm held its loop."""
    blocked_now: float = 0.0
    """The same of the last moments alone."""


def needs_another_look(control: ArmSeen, reason: str) -> bool:
    """Whether what was seen may be the fault of the moment: there is no control of the same time that had it as well.

    A machine that stands still for a third of a second makes sixty requests slow at once, and they are one event.
    """
    return control.durations.count < LEAST_DURATIONS and reason.startswith(("errors", "p99"))


def control_to_compare(lately: ArmSeen, ever: ArmSeen) -> ArmSeen:
    """The control of the same time; where that is too little to compare with, all that was ever seen of it.

    But not where the little is worse than that: what is bad then is the moment, for both.
    """
    return lately if lately.durations.count >= LEAST_DURATIONS or _is_worse(lately, ever) else ever


def _is_worse(lately: ArmSeen, ever: ArmSeen) -> bool:
    count, known, usual = lately.durations.count, ever.durations.count, ever.durations.quantile(1 - _SLOWEST)
    if not count or usual is None:
        return False
    slower, before = lately.durations.slower_than(usual), ever.durations.slower_than(usual)
    failing = tail_of_two(lately.errors, count, ever.errors, known)
    return min(failing, tail_of_two(slower, count, before, known)) <= _DOUBT


def judge(control: ArmSeen, arm: ArmSeen, limits: BackLimits) -> str | None:
    """Why the arm is to be taken back, in words that begin with one of `KINDS`; None: nothing is known against it.

    A control of which nothing is known is one without errors, and no p99 is compared with it.
    """
    return _blocked(arm, limits) or _errors(control, arm, limits) or _slow(control, arm, limits) or _shed(arm, limits)


def _errors(control: ArmSeen, arm: ArmSeen, limits: BackLimits) -> str | None:
    count = arm.durations.count
    if limits.errors is None or count < LEAST:
        return None
    known = control.durations.count
    if known and not _surely_more(arm.errors, count, control.errors, known, limits.errors):
        return None
    if not known and tail_of_share(arm.errors, count, limits.errors) > CHANCE:
        return None
    beside = f"{_percent(control.errors / known)} of {known:,} of the control" if known else "none known of the control"
    return f"errors: {_percent(arm.errors / count)} of {count:,} requests failed, {beside}"


def _slow(control: ArmSeen, arm: ArmSeen, limits: BackLimits) -> str | None:
    if arm.durations.count < LEAST_DURATIONS:
        return None
    if limits.p99_seconds is not None and _is_above(arm, limits.p99_seconds):
        return f"p99: {_p99(arm)} of {arm.durations.count:,} requests, more than {_seconds(limits.p99_seconds)}"
    usual = control.durations.quantile(1 - _SLOWEST)
    if limits.p99_factor is None or usual is None or control.durations.count < LEAST_DURATIONS:
        return None
    bound = usual * limits.p99_factor
    slower, beside = arm.durations.slower_than(bound), control.durations.slower_than(bound)
    is_more = _surely_more(slower, arm.durations.count, beside, control.durations.count, 0.0)
    if not is_more or not _is_above(arm, bound):
        return None
    return (
        f"p99: {_p99(arm)} of {arm.durations.count:,} requests, more than {limits.p99_factor:g} times "
        f"the {_seconds(usual)} of the control"
    )


def _blocked(arm: ArmSeen, limits: BackLimits) -> str | None:
    if limits.blocked is None:
        return None
    if arm.blocked > limits.blocked:
        return f"blocked: the event loop of a worker was held for {_percent(arm.blocked)} of the last ten seconds"
    if arm.blocked_now > min(0.95, limits.blocked * _LATELY_TIMES):
        return f"blocked: the event loop of a worker was held for {_percent(arm.blocked_now)} of the last moments"
    return None


def _shed(arm: ArmSeen, limits: BackLimits) -> str | None:
    count = arm.shed + arm.durations.count
    if limits.shed is None or count < LEAST or tail_of_share(arm.shed, count, limits.shed) > CHANCE:
        return None
    return f"shed: {_percent(arm.shed / count)} of {count:,} requests were refused for the ceiling"


def _is_above(arm: ArmSeen, seconds: float) -> bool:
    """Whether its p99 is, and not by chance."""
    count = arm.durations.count
    return tail_of_share(arm.durations.slower_than(seconds), count, _SLOWEST) <= CHANCE


def _surely_more(mine: int, all_mine: int, others: int, all_others: int, limit: float) -> bool:
    """Whether the share `mine` of `all_mine` is above that of the others by more than `limit`."""
    share, known = mine / all_mine, others / all_others
    if share - known <= limit:
        return False
    low, high = wilson(mine, all_mine, Z).low, wilson(others, all_others, Z).high
    if share - known - math.hypot(share - low, high - known) <= limit:
        return False
    return tail_of_two(mine, all_mine, others, all_others) <= CHANCE


def _p99(arm: ArmSeen) -> str:
    return _seconds(arm.durations.quantile(1 - _SLOWEST) or 0.0)


def _percent(share: float) -> str:
    return f"{share:.2%}" if share < 0.01 else f"{share:.1%}"


def _seconds(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:,.2f} s"
