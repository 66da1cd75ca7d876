"""Cookies by their names."""

from __future__ import annotations

import pytest

from penstock.rules.caching.cookies import (
    has_cookie,
    is_personal,
    may_hide_cookies,
    may_lose_cookies,
    without_set_cookies,
)


@pytest.mark.parametrize(
    ("cookie", "names", "has"),
    [
        (b"a=1; sessionid=2", ("sessionid",), True),
        (b"sessionid", ("sessionid",), True),
        (b"a=1;sessionid =2", ("session*",), True),
        (b"a=1, sessionid=2", ("sessionid",), True),
        (b"a=sessionid", ("sessionid",), False),
        (b"xsessionid=1; Sessionid=2", ("sessionid",), False),
        (b"a=1", (), False),
        (b"", ("*",), True),
        # http.cookies of Python (Bottle, aiohttp) splits at blanks.
        (b"a=1 sessionid=2", ("sessionid",), True),
        (b'a="1"\tsessionid=2', ("sessionid",), True),
        (b"a=1 \x0b sessionid =2", ("sessionid",), True),
        (b"a=1 b", ("sessionid",), False),
        # Django strips what Unicode has of blanks.
        (b"\xc2\xa0sessionid=1", ("sessionid",), True),
        (b"a=1;\xe3\x80\x80sessionid\x85=1", ("sessionid",), True),
        (b"s\xe9=1", ("s\xe9",), True),
        # PHP writes underscores, and once decoded names, as Rack did.
        (b"laravel.session=1", ("laravel_session",), True),
        (b"laravel session=1", ("laravel_session",), True),
        (b"laravel[session=1", ("laravel_session",), True),
        (b"sess%69onid=1", ("sessionid",), True),
        (b"a=%3B sess%69on", ("sessionid",), False),
    ],
)
def test_a_cookie_is_found_by_its_name(cookie: bytes, names: tuple[str, ...], has: bool) -> None:
    assert has_cookie(cookie, names) is has


@pytest.mark.parametrize("cookie", [b"a=1", b"a=1; b=2", b"a=1;b=2;", b"", b"a=%20; _b.c=d/e"])
def test_a_plain_cookie_hides_no_other(cookie: bytes) -> None:
    assert not may_hide_cookies(cookie)


@pytest.mark.parametrize(
    "cookie",
    [b"a=1 b=2", b"a=1, b=2", b"a=1\tb=2", b'a="1" b=2', b'a="1; b=2"', b"a=1\xc2\xa0b=2", b"a=1;  b=2", b"a=\\1"],
)
def test_one_that_servers_split_in_other_ways_may_hide_some(cookie: bytes) -> None:
    """`csrftoken=a sessionid=1` was taken for one cookie, and the page of that session was what all others got."""
    assert may_hide_cookies(cookie)


def test_only_the_named_ones_are_not_set() -> None:
    fields = [
        (b"Set-Cookie", b"_ga=1; Path=/"),
        (b"set-cookie", b" _gid = 2"),
        (b"set-cookie", b"sid=_ga"),
        (b"x", b"_ga=1"),
    ]
    assert without_set_cookies(fields, ("_g*",)) == fields[2:]
    assert without_set_cookies(fields, ()) == fields


@pytest.mark.parametrize("status", range(200, 600))
def test_no_redirect_loses_a_cookie(status: int) -> None:
    assert may_lose_cookies(b"GET", status) is not (300 <= status < 400)
    assert not any(may_lose_cookies(method, status) for method in (b"HEAD", b"POST", b"PUT", b"DELETE"))


def test_who_says_who_they_are() -> None:
    assert is_personal({b"authorization": b""})
    assert is_personal({b"cookie": b"a=b"})
    assert not is_personal({b"user-agent": b"x"})
