"""A Date that is old: the age of the answer, or the clock of the app?"""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.rules.caching.http_date import format_http_date
from penstock.rules.clock_offset import clock_offset, has_old_hop, kept_for

NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("via", "old"),
    [
        (None, False),
        (b"1.1 vegur", False),
        (b"HTTP/1.1 GWA, 1.1 google", False),
        (b"2 edge", False),
        (b"2.0 edge, HTTP/3 x", False),
        (b"1.1 a (squid/3.1)", False),
        (b"1.0 fred", True),
        (b"HTTP/1.0 fred", True),
        (b"1.1 a, 1.0 fred", True),
        (b"0.9 fred", True),
        (b"SPDY/3 a", True),
        (b"1.1", True),
        (b"", True),
        (b"1.1 a (one, two)", True),
        (b"1.x a", True),
    ],
)
def test_a_hop_that_may_keep_an_answer_without_saying_its_age(via: bytes | None, *, old: bool) -> None:
    """What cannot be read counts as one: to ask the app too often is the lesser evil."""
    assert has_old_hop(via) is old


@given(st.binary(max_size=40))
def test_any_via_is_judged(via: bytes) -> None:
    assert has_old_hop(via) in {True, False}


@pytest.mark.parametrize(
    ("apparent", "via", "behind", "kept"),
    [
        (7200.0, None, None, 0.0),
        (7200.0, None, 0.0, 7200.0),
        (7200.0, None, 7199.0, 0.0),
        (7200.0, None, 120.0, 7080.0),
        (7200.0, None, -60.0, 7260.0),
        (120.0, None, 0.0, 0.0),
        (600.0, None, 0.0, 0.0),
        (601.0, None, 0.0, 601.0),
        (601.0, b"1.1 a", 0.0, 601.0),
        (10.0, b"1.0 a", 0.0, 10.0),
        (10.0, b"1.0 a", 10.0, 10.0),
        (10.0, b"1.0 a", None, 10.0),
    ],
)
def test_how_old_an_answer_is_by_its_date(
    apparent: float, via: bytes | None, behind: float | None, kept: float
) -> None:
    """Two minutes are a clock; two hours, where the clock is known to be right, are an answer that the app has kept."""
    assert kept_for(apparent, via, behind) == kept


@pytest.mark.parametrize(
    ("date", "delay", "more", "offset"),
    [
        (0.0, 0.0, {}, 0.0),
        (-5.0, 0.0, {}, 0.0),
        (5.0, 0.0, {}, 0.0),
        (-6.0, 0.0, {}, 6.0),
        (6.0, 0.0, {}, -6.0),
        (-120.0, 0.2, {}, 120.0),
        (-20.0, 18.0, {}, 0.0),
        (-120.0, 0.0, {b"age": b"0"}, None),
        (-120.0, 0.0, {b"via": b"1.1 a"}, None),
        (-120.0, 0.0, {b"date": b"yesterday"}, None),
    ],
)
def test_how_far_one_answer_says_that_the_clock_is_off(
    date: float, delay: float, more: dict[bytes, bytes], offset: float | None
) -> None:
    """What came through others says nothing of the app's own clock, nor does a Date within what an answer takes."""
    fields = {b"date": format_http_date(NOW + date), **more}
    assert clock_offset(fields, delay, NOW) == offset


def test_without_a_date_or_a_clock_of_our_own_nothing_is_said() -> None:
    assert clock_offset({}, 0.0, NOW) is None
    assert clock_offset({b"date": format_http_date(NOW)}, 0.0, math.nan) is None
