"""HTTP-date: three forms, nothing else, and no year guessed wrongly."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.rules.caching.http_date import format_http_date, parse_http_date

NOW = datetime(2026, 11, 27, tzinfo=UTC).timestamp()
_END = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        (b"Sun, 06 Nov 1994 08:49:37 GMT", 784111777.0),
        (b"Sunday, 06-Nov-94 08:49:37 GMT", 784111777.0),
        (b"Sun Nov  6 08:49:37 1994", 784111777.0),
        (b"SUN, 06 nov 1994 08:49:37 gMT", 784111777.0),
        (b"Tue, 06 Nov 1994 08:49:37 GMT", 784111777.0),
        (b"Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        (b"Thu, 29 Feb 2024 00:00:00 GMT", 1709164800.0),
        (b"Sat, 31 Dec 2016 23:59:60 GMT", 1483228800.0),
        (b"Wed, 31 Dec 1969 23:59:59 GMT", -1.0),
        (b"Thursday, 18-Aug-50 02:01:18 GMT", 2544400878.0),
    ],
)
def test_what_is_a_date(value: bytes, moment: float) -> None:
    assert parse_http_date(value, now=NOW) == moment


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"0",
        b"-1",
        b"Thu, 18 Aug 2050 02:01:18 UTC",
        b"Thu, 18 Aug 2050 02:01:18 AEST",
        b"Thu, 18 Aug 2050 02:01:18 +0000",
        b"Thu, 18 Aug 2050 02:01:18",
        b"Thu, 18 Aug 50 02:01:18 GMT",
        b"Thu 18 Aug 2050 02:01:18 GMT",
        b"Thu, 18  Aug  2050 02:01:18 GMT",
        b"Thu, 18-Aug-2050 02:01:18 GMT",
        b"Thu, 18 Aug 2050 02.01.18 GMT",
        b"Thu, 18 Aug 2050 2:01:18 GMT",
        b"Thu, 8 Aug 2050 02:01:18 GMT",
        b"Thu, 18 Aug 2050 24:00:00 GMT",
        b"Thu, 18 Aug 2050 02:60:00 GMT",
        b"Thu, 18 Aug 2050 02:01:61 GMT",
        b"Thu, 30 Feb 2023 00:00:00 GMT",
        b"Thu, 00 Jan 2023 00:00:00 GMT",
        b"Thu, 01 Jan 0000 00:00:00 GMT",
        b" Thu, 18 Aug 2050 02:01:18 GMT",
        b"Thu, 18 Aug 2050 02:01:18 GMT\n",
        b"Thu, 18 Aug 2050 02:01:18 GMT, Thu, 18 Aug 2050 02:01:18 GMT",
        "Thu, 18 Aug ٢٠٥٠ 02:01:18 GMT".encode(),
        b"Thu, 18-Aug-50 02:01:18 GMT",
        b"Thu Aug 8 02:01:18 2050",
    ],
)
def test_what_is_none(value: bytes) -> None:
    assert parse_http_date(value, now=NOW) is None


@pytest.mark.parametrize(
    ("two_digits", "now", "year"),
    [
        (b"26", 2026, 2026),
        (b"76", 2026, 2076),
        (b"77", 2026, 1977),
        (b"99", 2026, 1999),
        (b"00", 2026, 2000),
        (b"01", 2099, 2101),
        (b"70", 1970, 1970),
    ],
)
def test_a_two_digit_year_is_at_most_50_years_ahead(two_digits: bytes, now: int, year: int) -> None:
    moment = parse_http_date(
        b"Friday, 02-Jan-" + two_digits + b" 00:00:00 GMT", now=datetime(now, 1, 3, tzinfo=UTC).timestamp()
    )
    assert moment == datetime(year, 1, 2, tzinfo=UTC).timestamp()


@pytest.mark.parametrize("now", [math.nan, math.inf, -math.inf, -1.0, 1e30])
def test_a_two_digit_year_needs_a_sensible_now(now: float) -> None:
    assert parse_http_date(b"Friday, 02-Jan-26 00:00:00 GMT", now=now) is None


@given(st.floats(0, _END))
def test_a_formatted_date_reads_back_as_its_second(moment: float) -> None:
    assert parse_http_date(format_http_date(moment), now=NOW) == math.floor(moment)


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (784111777.9, b"Sun, 06 Nov 1994 08:49:37 GMT"),
        (-5.0, b"Thu, 01 Jan 1970 00:00:00 GMT"),
        (math.nan, b"Thu, 01 Jan 1970 00:00:00 GMT"),
        (math.inf, b"Fri, 31 Dec 9999 23:59:59 GMT"),
        (1e300, b"Fri, 31 Dec 9999 23:59:59 GMT"),
    ],
)
def test_format(moment: float, text: bytes) -> None:
    assert format_http_date(moment) == text


@given(st.binary(max_size=60), st.floats())
def test_nothing_raises(value: bytes, now: float) -> None:
    moment = parse_http_date(value, now=now)
    assert moment is None or math.isfinite(moment)
