"""Durations as people write them: `30s`, `5m`, `500ms`."""

from __future__ import annotations

import math
import re

from ..errors import UsageError

_SECONDS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_NUMBER = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)")


def parse_duration(text: str, *, needs_unit: bool = False) -> float:
    """Seconds, above 0; a bare number is seconds, or refused where it is more likely meant otherwise. UsageError."""
    match = _NUMBER.fullmatch(text.strip())
    if needs_unit and match is not None and not match[2]:
        raise UsageError(f"{text!r} has no unit; write {match[1]}ms or {match[1]}s")
    unit = _SECONDS.get(match[2].lower()) if match else None
    if match is None or unit is None or not (0 < float(match[1]) * unit < math.inf):
        raise UsageError(f"{text!r} is not a duration; write 30s, 5m or 500ms")
    return float(match[1]) * unit
