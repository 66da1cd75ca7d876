"""HTTP-date (RFC 9110, 5.6.7): its three forms, read strictly but for letter case."""

from __future__ import annotations

import re
from datetime import date
from functools import lru_cache

_DAYS = (b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun")
_MONTHS = (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec")
_MONTH_OF = {name.lower(): number for number, name in enumerate(_MONTHS, 1)}
_EPOCH = date(1970, 1, 1).toordinal()
_LAST_SECOND = (date.max.toordinal() - _EPOCH + 1) * 86400 - 1
_YEAR = 31556952.0
_LONGEST = 40

_DAY = rb"(?:mon|tue|wed|thu|fri|sat|sun)"
_MONTH = rb"(?P<month>jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)"
_TIME = rb"(?P<hour>[01][0-9]|2[0-3]):(?P<minute>[0-5][0-9]):(?P<second>[0-5][0-9]|60)"
_PREFERRED = re.compile(
    _DAY + rb", (?P<day>[0-9]{2}) " + _MONTH + rb" (?P<year>[0-9]{4}) " + _TIME + rb" gmt", re.IGNORECASE
)
_ASCTIME = re.compile(
    _DAY + rb" " + _MONTH + rb" (?P<day>[0-9]{2}| [0-9]) " + _TIME + rb" (?P<year>[0-9]{4})", re.IGNORECASE
)
_RFC_850 = re.compile(
    rb"(?:mon|tues|wednes|thurs|fri|satur|sun)day, (?P<day>[0-9]{2})-"
    + _MONTH
    + rb"-(?P<year>[0-9]{2}) "
    + _TIME
    + rb" gmt",
    re.IGNORECASE,
)


def parse_http_date(value: bytes, *, now: float) -> float | None:
    """Seconds since 1970 in UTC, or None where `value` is not exactly one of the three forms.

    The name of the weekday is not compared with the date. A two-digit year is the one that puts the date at most 50
    years after `now` (RFC 9110, 5.6.7), and unreadable where `now` is no number.
    """
    if len(value) > _LONGEST:
        return None
    found = _fixed(value)
    if found is not None:
        return found
    match = _RFC_850.fullmatch(value)
    if match is None or not 0.0 <= now <= _LAST_SECOND:
        return None
    latest = 1970 + int(now // _YEAR) + 51
    year = latest - (latest - int(match["year"])) % 100
    for candidate in (year, year - 100):
        moment = _moment(match, candidate)
        if moment is not None and moment <= now + 50 * _YEAR:
            return moment
    return None


@lru_cache(4096)
def _fixed(value: bytes) -> float | None:
    match = _PREFERRED.fullmatch(value) or _ASCTIME.fullmatch(value)
    return None if match is None else _moment(match, int(match["year"]))


def _moment(match: re.Match[bytes], year: int) -> float | None:
    try:
        day = date(year, _MONTH_OF[match["month"].lower()], int(match["day"])).toordinal() - _EPOCH
    except ValueError:
        return None
    return float(day * 86400 + int(match["hour"]) * 3600 + int(match["minute"]) * 60 + int(match["second"]))


def format_http_date(epoch_seconds: float) -> bytes:
    """The preferred form, cut to the whole second; what is no number or before 1970 reads as 1970, the far end 9999."""
    if not epoch_seconds > 0.0:
        return _formatted(0)
    return _formatted(int(min(epoch_seconds, _LAST_SECOND)))


@lru_cache(64)
def _formatted(second: int) -> bytes:
    days, rest = divmod(second, 86400)
    day = date.fromordinal(_EPOCH + days)
    return b"%s, %02d %s %04d %02d:%02d:%02d GMT" % (
        _DAYS[day.weekday()],
        day.day,
        _MONTHS[day.month - 1],
        day.year,
        rest // 3600,
        rest // 60 % 60,
        rest % 60,
    )
