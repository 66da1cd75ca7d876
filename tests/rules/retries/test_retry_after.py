"""Retry-After as servers send it: seconds, dates, and whatever else."""

from __future__ import annotations

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.rules.retries.retry_after import LONGEST_SECONDS, parse_retry_after

NOW = 1_767_225_600.0  # 2026-01-01T00:00:00Z


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 7 ", 7.0),
        ("1.5", 1.5),
        ("0.0", 0.0),
        ("999999999999", LONGEST_SECONDS),
        ("9" * 5000, LONGEST_SECONDS),
        ("1" + "0" * 400, LONGEST_SECONDS),
        ("5." + "0" * 500, 5.0),
        ("Thu, 01 Jan 2026 00:02:00 GMT", 120.0),
        ("Thursday, 01-Jan-26 00:02:00 GMT", 120.0),
        ("Thu Jan  1 00:02:00 2026", 120.0),
        ("Thu, 01 Jan 2026 02:02:00 +0200", 120.0),
        ("Wed, 31 Dec 2025 23:00:00 GMT", 0.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", LONGEST_SECONDS),
        (None, None),
        ("", None),
        ("-1", None),
        ("+5", None),
        ("1e3", None),
        ("1,000", None),
        ("5s", None),
        ("nan", None),
        ("inf", None),
        ("0x10", None),
        ("٣", None),
        ("²", None),
        ("soon", None),
        ("Thu, 99 Jan 2026 00:00:00 GMT", None),
        ("Thu, 01 Jan 99999 00:00:00 GMT", None),
        ("Thu, 01 Jan 2026 00:00:00 +9999", None),
        ("\0", None),
        ("120, 60", None),
    ],
)
def test_values(value: str | None, seconds: float | None) -> None:
    """Both forms of RFC 9110 are read, absurd numbers are bounded, the rest is no value."""
    assert parse_retry_after(value, NOW) == seconds


@pytest.mark.parametrize(
    ("behind", "expected"),
    [(0.0, 60.0), (300.0, 60.0), (-300.0, 360.0)],
)
def test_a_date_is_read_against_the_servers_clock_where_that_is_longer(behind: float, expected: float) -> None:
    """A server whose clock is behind or ahead of ours: of both distances the longer counts."""
    server_now = NOW - behind
    value, date = formatdate(server_now + 60.0, usegmt=True), formatdate(server_now, usegmt=True)
    assert parse_retry_after(value, NOW, date) == expected


@pytest.mark.parametrize("date", ["", "nonsense", "Thu, 99 Jan 2026 00:00:00 GMT"])
def test_an_unreadable_date_field_is_passed_by(date: str) -> None:
    """Without a Date that can be read, our own clock counts."""
    assert parse_retry_after("Thu, 01 Jan 2026 00:01:00 GMT", NOW, date) == 60.0


texts = st.one_of(
    st.text(max_size=40),
    st.text("0123456789.-+eE ,:GMTJanFebUC", max_size=40),
    st.from_regex(r"[A-Z][a-z]{2}, \d{1,3} (Jan|Feb|Foo) \d{1,6} \d{1,3}:\d{1,3}:\d{1,3} ([+-]\d{1,6}|GMT|[A-Z]{1,4})"),
    st.from_regex(r"\A[0-9]{1,400}(\.[0-9]{0,400})?\Z"),
)


@given(st.none() | texts, st.floats(-1e12, 1e12), st.none() | texts)
def test_nothing_raises_and_every_wait_is_sane(value: str | None, now: float, date: str | None) -> None:
    """Whatever a server sends: None, or seconds between 0 and 30 years."""
    seconds = parse_retry_after(value, now, date)
    assert seconds is None or 0.0 <= seconds <= 1e9
