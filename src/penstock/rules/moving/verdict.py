"""What a comparison of an arm with the control allows to say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from .bottleneck import Bottleneck, StopsAt
from .capacity import Capacity, rate_ratio
from .pairs import Ratio
from .refusals import Obstacle

WORTH = 1.25
"""A ratio below is no gain: converting a route costs people more than it saves."""
LUCK = 0.001
"""A higher rate without less CPU counts only where luck alone would show it less often than this."""


class Word(Enum):
    """What can be said of an arm."""

    GAIN = "gain"
    NO_GAIN = "no gain"
    SLOWER = "slower"
    NOTHING = "nothing can be said"


@dataclass(frozen=True, slots=True)
class ArmVerdict:
    """`why` in words, with the numbers."""

    said: Word
    why: str


@dataclass(frozen=True, slots=True)
class Compared:
    """All that was found of an arm beside the control."""

    cpu: Ratio | None
    """How many times as much CPU the control needs for a request."""
    rates: tuple[Capacity, Capacity] | None = None
    """What the control can take, and what the arm can."""
    luck: float | None = None
    """How likely the higher rate is by luck alone; None: that was not tried."""
    limits: tuple[Bottleneck | None, Bottleneck | None] = (None, None)
    """What the control stops at, and the arm."""


def is_settled(cpu: Ratio | None, precision: float) -> bool:
    """Whether more pairs would change nothing: the interval is as narrow as was asked, or lies above any doubt."""
    return cpu is not None and (cpu.reach <= precision or (cpu.low >= WORTH and cpu.reach <= 3 * precision))


def judge(found: Compared, precision: float, forbidden: Sequence[Obstacle] = ()) -> ArmVerdict:
    """One of four words. A rate that is higher beyond luck is a gain whatever the CPU; else the CPU decides."""
    if forbidden:
        return ArmVerdict(Word.NOTHING, "; ".join(each.why for each in forbidden))
    cpu = found.cpu
    if cpu is None:
        return ArmVerdict(Word.NOTHING, "there were too few pairs; give more --max-time")
    by_rate = _by_rate(found)
    if by_rate is not None:
        return by_rate
    if cpu.high < 1 - precision:
        return ArmVerdict(Word.SLOWER, f"it needs {1 / cpu.value:.2f}x the CPU of the control")
    elsewhere = _elsewhere(found)
    if elsewhere is not None:
        return elsewhere
    if not is_settled(cpu, precision):
        return ArmVerdict(
            Word.NOTHING,
            f"the ratio of CPU is {cpu}, which is not known to +-{precision:.0%}; give more --max-time, a quieter "
            "machine, or less --precision",
        )
    if cpu.value < WORTH:
        return ArmVerdict(
            Word.NO_GAIN, f"the control needs {cpu.value:.2f}x its CPU, and {WORTH} is where a gain begins"
        )
    return _by_cpu(cpu, found)


def _by_cpu(cpu: Ratio, found: Compared) -> ArmVerdict:
    """Less CPU a request is a gain, unless the rate is known to be no higher."""
    rates = None if found.rates is None else rate_ratio(*found.rates)
    if rates is not None and rates.high < WORTH:
        limit = found.limits[1]
        behind = "" if limit is None or limit.stop is StopsAt.CPU else f": it stops at {limit.why}"
        return ArmVerdict(
            Word.NO_GAIN, f"{cpu.value:.2f}x less CPU a request, but a rate of only {rates.value:.2f}x{behind}"
        )
    return ArmVerdict(Word.GAIN, f"{cpu.value:.2f}x less CPU a request")


def _by_rate(found: Compared) -> ArmVerdict | None:
    """A gain that the CPU does not show: the control stops at something that the arm does without."""
    if found.rates is None or found.luck is None or found.luck > LUCK:
        return None
    control, arm = found.rates
    if control.failed is None or arm.held is None or arm.held / control.failed < WORTH:
        return None
    limit = found.limits[0]
    where = "" if limit is None else f": the control stops at {limit.why}"
    times = f"{arm.held / control.held:.2f}x" if control.held else "more than"
    return ArmVerdict(Word.GAIN, f"{times} the rate{where}")


def _elsewhere(found: Compared) -> ArmVerdict | None:
    """Where neither stops at its CPU, the rates tell of what stops them, and not of the arms.

    What was not seen is no such limit: it may as well be the CPU.
    """
    control, arm = found.limits
    if control is None or arm is None or not {StopsAt.CPU, StopsAt.UNKNOWN}.isdisjoint((control.stop, arm.stop)):
        return None
    rates = None if found.rates is None else rate_ratio(*found.rates)
    if rates is not None and rates.low >= WORTH:
        return None
    return ArmVerdict(
        Word.NOTHING, f"the limit is not in the server: the control stops at {control.why}; the arm at {arm.why}"
    )


def share_of_client(client: Ratio, arm: Ratio) -> float:
    """How much of the arm's gain, 0 to 1, the control with another client has as well."""
    saved = 1 - 1 / arm.value
    return 0.0 if saved <= 0 else max(0.0, min(1.0, (1 - 1 / client.value) / saved))
