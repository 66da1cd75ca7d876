"""When does a quota begin anew? Whatever servers write into a Reset field, as seconds from now.

Nobody agrees on what it holds: seconds from now (the IETF drafts), epoch seconds (GitHub), epoch milliseconds
(Linear), ISO 8601 (Vimeo), a date as in HTTP, `6m0s` (OpenAI). So it is told by its form and, for plain numbers, by
their size: no delta is as long as 30 years, and no epoch in use is as early as 2001. Nothing in a value can raise.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

FIRST_EPOCH = 1e9
"""Numbers from here up are moments: seconds since 1970, as of September 2001."""

_NUMBER = re.compile(r"[0-9]{1,19}(?:\.[0-9]{1,12})?")
_DURATION = re.compile(r"(?:[0-9]{1,9}(?:\.[0-9]{1,12})?(?:h|ms|m|s|us|µs|ns))+")
_PART = re.compile(r"([0-9.]+)(h|ms|m|s|us|µs|ns)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_LONGEST_TEXT = 64
# Below this the difference between two clocks is the age of the answer and the grain of Date.
_SAME_CLOCK = 2.0


@dataclass(frozen=True, slots=True)
class Reset:
    """`seconds` from now, from 0 up. `absolute`: it was told as a moment, so the age of the answer does not matter."""

    seconds: float
    absolute: bool


def read_reset(text: str, now: float, date: str | None = None) -> Reset | None:
    """What `text` says at `now` (epoch seconds); None if it cannot be read.

    `date` is the answer's own Date field: where the server's clock is not ours, its moments are taken relative to it.
    """
    text = text.strip()
    if not text or len(text) > _LONGEST_TEXT:
        return None
    if _NUMBER.fullmatch(text):
        number = float(text)
        if number < FIRST_EPOCH:
            return Reset(number, absolute=False)
        moment: float | None = _epoch_seconds(number)
    elif _DURATION.fullmatch(text):
        return Reset(sum(float(value) * _SECONDS[unit] for value, unit in _parts(text)), absolute=False)
    else:
        moment = _moment(text)
    return None if moment is None else Reset(max(0.0, moment - _server_now(now, date)), absolute=True)


def _epoch_seconds(number: float) -> float:
    # Seconds, milliseconds, microseconds, nanoseconds: each is good for thousands of years before the next begins.
    for scale in (1.0, 1e3, 1e6):
        if number / scale < 1e11:
            return number / scale
    return number / 1e9


def _parts(text: str) -> list[tuple[str, str]]:
    return [(match[1], match[2]) for match in _PART.finditer(text)]


def _server_now(now: float, date: str | None) -> float:
    server = _http_date(date) if date else None
    return now if server is None or abs(server - now) <= _SAME_CLOCK else server


def _moment(text: str) -> float | None:
    try:
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        return _http_date(text)
    return _timestamp(moment)


def _http_date(text: str) -> float | None:
    try:
        return _timestamp(parsedate_to_datetime(text))
    except (ValueError, OverflowError, TypeError, IndexError):
        return None


def _timestamp(moment: datetime) -> float | None:
    try:
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
