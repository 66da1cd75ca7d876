"""How many instances a peak needs, and what they cost."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from ...errors import UsageError
from .capacity import Capacity

USED = 0.7
"""An instance is given so much of what it can take; the rest is for what peaks do within a minute."""
_HOURS = {"h": 1.0, "hour": 1.0, "d": 24.0, "day": 24.0, "month": 730.0, "year": 8760.0}
_SECONDS = {"s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0}
HOURS_A_MONTH = 730.0


@dataclass(frozen=True, slots=True)
class Instances:
    """From the rate that an arm surely did not keep, to the one that it did."""

    fewest: int
    most: int

    def __str__(self) -> str:
        return f"{self.most}" if self.fewest == self.most else f"{self.fewest} to {self.most}"


def instances(peak: float, capacity: Capacity) -> Instances | None:
    """For `peak` requests a second; None where no rate was found."""
    if not capacity.held or not capacity.is_found or capacity.failed is None:
        return None
    return Instances(_needed(peak, capacity.failed), _needed(peak, capacity.held))


def a_month(count: int, cost: float) -> float:
    """What `count` instances cost a month, at `cost` an hour each."""
    return count * cost * HOURS_A_MONTH


def parse_cost(text: str) -> float:
    """`0.17/h` as the cost of one instance an hour. Raises UsageError."""
    return _per(text, _HOURS, f"{text!r} is no cost of an instance; write 0.17/h or 120/month")


def parse_peak(text: str) -> float:
    """`10000/s` as requests a second. Raises UsageError."""
    return _per(text, _SECONDS, f"{text!r} is no rate; write 10000/s")


def _per(text: str, units: dict[str, float], message: str) -> float:
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*/\s*([a-z]+)\s*", text)
    if match is None or match[2] not in units or not 0 < float(match[1]) < math.inf:
        raise UsageError(message)
    return float(match[1]) / units[match[2]]


def _needed(peak: float, capacity: float) -> int:
    return max(1, math.ceil(peak / (capacity * USED)))
