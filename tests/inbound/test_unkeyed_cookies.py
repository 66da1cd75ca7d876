"""Cookies that reach the app and make no page one visitor's own, unless the answer sets a cookie: Django's `csrftoken`.

Who had been at any form held that cookie for a year, and was answered by the app each time from then on.
"""

from __future__ import annotations

from http.cookies import SimpleCookie
from typing import Any

import pytest

from penstock.inbound.cache.policy import PathPolicy, Policy
from penstock.inbound.cache.protocols import InboundRequest
from penstock.testing import run_virtual

from .test_policy_faces import KINDS, Answer

SITE = Policy(
    default=PathPolicy(ttl=60.0, unkeyed_cookies=("csrftoken",), bypass_cookies=("sessionid",), ignore_cookies=("_ga",))
)


def django(target: str, seen: dict[str, str]) -> Answer:
    """`/form` shows a token made of the cookie, and sets it, as Django does; `/menu` looks at the session."""
    cookie = seen.get("cookie", "")
    if target == "/form":
        return 200, [("vary", "Cookie"), ("set-cookie", "csrftoken=new")], f"form of {cookie}"
    if target == "/menu":
        return 200, [("vary", "Cookie")], "user" if "sessionid" in cookie else "stranger"
    return 200, [("x-seen", cookie)], "page"


@KINDS
@pytest.mark.parametrize("target", ["/menu", "/page"])
def test_a_page_without_the_token_is_for_all(kind: Any, target: str) -> None:
    """Whoever asks first, also where Django says that the page looked at the session."""

    async def main() -> None:
        face = kind(django, SITE)
        assert "stored" in (await face.get(target, cookie="csrftoken=a; _ga=1"))[1]
        for cookie in ("csrftoken=b", "csrftoken=b", "_ga=2; csrftoken=c", "_ga=3"):
            assert "hit" in (await face.get(target, cookie=cookie))[1]
        assert "hit" in (await face.get(target))[1]
        for cookie in ("csrftoken=a; sessionid=1", "sessionid=1"):
            assert "fwd=bypass" in (await face.get(target, cookie=cookie))[1]
        for cookie in ("csrftoken=a; other=1", "xcsrftoken=1", "csrftoken=a, other=1", "other=1,csrftoken=a"):
            assert "hit" not in (await face.get(target, cookie=cookie))[1]
        await face.close()

    run_virtual(main())


@KINDS
@pytest.mark.parametrize("profile", ["safe", "rfc"])
def test_a_page_with_the_token_is_for_one(kind: Any, profile: Any) -> None:
    """By the letter, too: to store it would give one visitor's token to all."""

    async def main() -> None:
        face = kind(django, SITE, profile)
        for cookie in ("csrftoken=a", "csrftoken=b", "csrftoken=a", "_ga=1; csrftoken=c"):
            body, status, _ = await face.get("/form", cookie=cookie)
            assert body == f"form of {cookie.removeprefix('_ga=1; ')}"
            assert "stored" not in status
            assert "hit" not in status
        await face.close()

    run_virtual(main())


@KINDS
def test_the_app_gets_them_as_they_came(kind: Any) -> None:
    """Django goes on with the token that the visitor has: a new one each time would break forms in other tabs."""

    async def main() -> None:
        face = kind(django, SITE)
        fields = (await face.get("/page", cookie="a=b; csrftoken=c; _ga=1"))[2]
        assert fields[b"x-seen"] == b"a=b; csrftoken=c"
        fields = (await face.get("/other", cookie="csrftoken=c"))[2]
        assert fields[b"x-seen"] == b"csrftoken=c"
        assert (await face.get("/form", method="POST", cookie="_ga=1; csrftoken=c"))[0] == "form of _ga=1; csrftoken=c"
        await face.close()

    run_virtual(main())


@KINDS
def test_with_a_token_of_an_app_it_is_as_without(kind: Any) -> None:
    """Authorization still says who asks."""

    async def main() -> None:
        face = kind(django, SITE)
        for _ in range(2):
            assert "stored" not in (await face.get("/page", cookie="csrftoken=a", authorization="Token 1"))[1]
        await face.close()

    run_virtual(main())


@KINDS
@pytest.mark.parametrize(
    "cookie", ["csrftoken=a sessionid=1", "csrftoken=a\tsessionid=1", '_ga=1; csrftoken="a" user=1']
)
def test_what_stands_behind_a_blank_is_a_cookie_of_its_own(kind: Any, cookie: str) -> None:
    """An app with http.cookies of Python read it, the cache did not: one user's page was stored for all."""

    def app(_target: str, seen: dict[str, str]) -> Answer:
        return 200, [], "/".join(sorted(SimpleCookie(seen.get("cookie", ""))))

    async def main() -> None:
        face = kind(app, SITE)
        assert len((await face.get("/", cookie=cookie))[0]) > len("csrftoken")
        assert (await face.get("/"))[0] == ""
        await face.close()

    run_virtual(main())


def test_cookies_in_lines_of_their_own_are_told_apart() -> None:
    """Combined they are joined by a comma, and the second would have gone with the first."""
    request = InboundRequest(b"GET", b"http", b"a", b"/", {b"cookie": b"csrftoken=a, user=1"}, [])
    request.raw = [(b"cookie", b"csrftoken=a"), (b"cookie", b"user=1")]
    request.put_under(SITE.default)
    assert request.fields[b"cookie"] == b"user=1"
    assert request.raw == [(b"cookie", b"csrftoken=a; user=1")]
