"""Axes and the words for numbers: which ticks, and what stands beside them. Pure."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

_DURATION_STEPS = (
    *(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30),
    *(60, 120, 300, 600, 1200, 1800, 3600, 7200, 3 * 3600, 6 * 3600, 12 * 3600),
    *(86400, 2 * 86400, 5 * 86400, 10 * 86400, 20 * 86400, 50 * 86400, 100 * 86400),
)
_UNITS = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"))


@dataclass(frozen=True, slots=True)
class Axis:
    """From `low` to `high`, with marks at `ticks`; `log` says that equal ratios take equal room."""

    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    log: bool = False

    def place(self, value: float) -> float:
        """Where `value` is: 0 at `low`, 1 at `high`. What lies outside is put at the end it is nearer to."""
        if self.log:
            value, low, high = (math.log(max(each, 1e-12)) for each in (value, self.low, self.high))
        else:
            low, high = self.low, self.high
        return min(1.0, max(0.0, (value - low) / (high - low))) if high > low else 0.0


def counting_axis(highest: float, most: int = 5) -> Axis:
    """From 0 to a little more than `highest`, in steps of 1, 2 or 5 times a power of ten."""
    if not (highest > 0 and math.isfinite(highest)):
        highest = 1.0
    step = _nice_step(highest * 1.05 / most)
    ticks = [step * n for n in range(int(highest * 1.05 / step + 1e-9) + 1)]
    return Axis(0.0, highest * 1.08, tuple((tick, number(tick)) for tick in ticks))


def duration_axis(highest: float, most: int = 5, *, low: float = 0.0, room: float = 1.08) -> Axis:
    """Of durations in seconds, from `low` to `room` times `highest`, at round times."""
    if not (highest > low and math.isfinite(highest)):
        highest = low + 1.0
    step = next((step for step in _DURATION_STEPS if (highest - low) / step <= most), None)
    if step is None:
        step = _nice_step((highest - low) / 86400 / most) * 86400
    first, last = math.ceil(low / step - 1e-9), math.floor(highest * room / step + 1e-9)
    return Axis(low, highest * room, tuple((n * step, duration(n * step)) for n in range(first, last + 1)))


def log_duration_axis(lowest: float, highest: float, most: int = 7) -> Axis:
    """Of durations in seconds above 0, at 1, 10, 100, or also at 2 and 5 times these where there is room."""
    low = max(1e-6, lowest if math.isfinite(lowest) else 1e-6)
    high = max(low * 1.5, highest if math.isfinite(highest) else low)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks: list[float] = []
    for factors in ((1, 2, 5), (1, 3), (1,)):
        ticks = [factor * 10.0**n for n in decades for factor in factors if low <= factor * 10.0**n * 1.001 <= high]
        if len(ticks) <= most:
            break
    return Axis(low, high, tuple((tick, duration(tick)) for tick in ticks), log=True)


def _nice_step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999999)


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places for labels as near to the `wanted` as can be, `gap` apart and between `low` and `high`.

    Of two at the same place the later one comes first. Where there is no room for all, they overlap evenly.
    """
    if len(wanted) > 1:
        gap = min(gap, (high - low) / (len(wanted) - 1))
    order = sorted(range(len(wanted)), key=lambda index: (wanted[index], -index))
    placed = [0.0] * len(wanted)
    at = -math.inf
    for index in order:
        at = placed[index] = max(wanted[index], at + gap, low)
    at = math.inf
    for index in reversed(order):
        at = placed[index] = min(placed[index], at - gap, high)
    return placed


# -- numbers in words -------------------------------------------------------------------------------------------------


def number(value: float) -> str:
    """`12,000`, `0.25`, `3M`: as short as can be read."""
    if abs(value) >= 10_000_000:
        return f"{value / 1e6:,.4g}M"
    if value == int(value):
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def duration(seconds: float) -> str:
    """`250 ms`, `12.5 s`, `1 h 40 min`: at most two units, the second only where it is not 0."""
    if seconds < 1e-9:
        return "0"
    if seconds < 0.0009995:
        return f"{seconds * 1e6:.3g} µs"
    if seconds < 0.9995:
        return f"{seconds * 1e3:.3g} ms"
    if seconds < 59.95:
        return f"{seconds:.3g} s"
    whole = round(seconds)
    for (size, name), (smaller, smaller_name) in itertools.pairwise(_UNITS):
        if whole >= size:
            rest = int(whole % size / smaller)
            return f"{int(whole // size)} {name}" + (f" {rest} {smaller_name}" if rest else "")
    return f"{whole} s"


def percent(share: float, digits: int = 1) -> str:
    """`99.1 %`; never rounded up to all, or down to nothing."""
    if share in (0, 1):
        return f"{share * 100:.0f} %"
    text = f"{share * 100:.{digits}f}"
    if float(text) >= 100 > share * 100:
        return f"> {100 - 10**-digits:.{digits}f} %"
    return f"< {10**-digits:.{digits}f} %" if float(text) == 0 < share else f"{text} %"


def count(value: int, one: str, many: str = "") -> str:
    """`1 item`, `3 items`."""
    return f"{value:,} {one if value == 1 else many or one + 's'}"


def moment(wall: float) -> str:
    """`24 Nov 2026 03:39:27 UTC` of seconds since the epoch; `-` for what is no date."""
    try:
        return datetime.fromtimestamp(wall, UTC).strftime("%-d %b %Y %H:%M:%S UTC")
    except (OverflowError, ValueError, OSError):
        return "-"
