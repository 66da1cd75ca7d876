"""Dates that are given relative to the origin's time, and integers as JavaScript reads them."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from .suite import Value

DATE_HEADERS = frozenset({"date", "expires", "last-modified", "if-modified-since", "if-unmodified-since"})

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_INTEGER = re.compile(r"\s*([+-]?[0-9]+)")


def http_date(milliseconds: int, *, rfc850: bool = False) -> str:
    """The second that this moment (since 1970) lies in, as IMF-fixdate or in the older form of RFC 850."""
    at = datetime.fromtimestamp(milliseconds // 1000, UTC)
    day, month = _DAYS[at.weekday()], _MONTHS[at.month - 1]
    if rfc850:
        return f"{day}, {at.day:02}-{month}-{at.year % 100:02} {at:%H:%M:%S} GMT"
    return f"{day[:3]}, {at.day:02} {month} {at.year:04} {at:%H:%M:%S} GMT"


def resolve(name: str, value: Value, now: int, rfc850date: frozenset[str]) -> str:
    """The text of a header's value; an integer in a header of dates counts seconds from `now` (milliseconds)."""
    if isinstance(value, int) and name.lower() in DATE_HEADERS:
        return http_date(now + value * 1000, rfc850=name.lower() in rfc850date)
    return str(value)


def leading_integer(text: str | None) -> int | None:
    """The integer at the start of a text, None where there is none."""
    found = _INTEGER.match(text) if text is not None else None
    return int(found[1]) if found else None
