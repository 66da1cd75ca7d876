"""What an operator says about paths, and what the cache makes of it."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.errors import UsageError
from penstock.inbound.cache.policy import NO_POLICY, PathPolicy, Policy
from penstock.rules.caching.cookies import without_cookies
from penstock.testing import run_virtual

from .fakes import FRESH, Bench


def test_the_first_that_matches_holds() -> None:
    first, second = PathPolicy("/a/*", ttl=1.0), PathPolicy("/*", ttl=2.0)
    policy = Policy((first, second))
    assert policy.for_target(b"/a/b?c=/d") is first
    assert policy.for_target(b"/b?/a/") is second
    assert Policy((first,)).for_target(b"/b") is NO_POLICY
    assert Policy().for_target(b"*") is NO_POLICY


@pytest.mark.parametrize(
    ("policy", "fits", "does_not"),
    [
        (PathPolicy("/a/*"), ["/a/", "/a/b/c?x"], ["/a", "/b/a/", "/A/"]),
        (PathPolicy("/a?"), ["/ab", "/ab?c"], ["/a?b", "/a"]),
        (PathPolicy(prefix="/a.b/"), ["/a.b/", "/a.b/*c?d"], ["/axb/", "/x/a.b/", "/a.b"]),
        (PathPolicy(pattern="/p/[0-9]+"), ["/p/1", "/p/22?x=1"], ["/p/", "/p/1/", "/p/1x", "/x/p/1"]),
        (PathPolicy(pattern="/a|/b"), ["/a", "/b"], ["/ab", "/a/b"]),
        (PathPolicy(pattern="(?i:/a)"), ["/a", "/A"], ["/b"]),
        (PathPolicy("/a", query=()), ["/a", "/a?", "/a?&"], ["/a?b", "/a?b=1"]),
        (PathPolicy("/a", query=("p=*",)), ["/a?p=1", "/a?x&p=", "/a?p=1&p=2"], ["/a", "/a?p", "/a?xp=1", "/a?%70=1"]),
        (PathPolicy("/a", query=("p",)), ["/a?p=1", "/a?p"], ["/a?pp=1", "/a?x=p", "/b?p"]),
        (PathPolicy("/a", query=("p", "q=[0-9]")), ["/a?p&q=1", "/a?q=2&x=1&p=1"], ["/a?p", "/a?q=1", "/a?p&q=x"]),
        (PathPolicy(query=("p",)), ["/a?p", "/?p=1"], ["/a", "/?q"]),
        (PathPolicy(), ["/", "/a?b", "*"], []),
    ],
)
def test_which_requests_are_meant(policy: PathPolicy, fits: list[str], does_not: list[str]) -> None:
    """By the path and the query as they are written."""
    whole = Policy((policy,))
    assert [target for target in [*fits, *does_not] if whole.for_target(target.encode()) is policy] == fits


@pytest.mark.parametrize(
    "place",
    [
        *({"path": "/caf%C3%A9/*"}, {"prefix": "/caf%c3%a9/"}, {"pattern": "/caf%C3%A9/.*"}),
        *({"pattern": "/caf%C3%A9/[a-z]+"}, {"path": "/caf%c3%a9/me"}),
    ],
)
@pytest.mark.parametrize("target", ["/caf%C3%A9/me", "/caf%c3%a9/me", "/%63af%C3%A9//me", "/x/../CAF%25C3%25A9/me"])
def test_what_is_bypassed_is_so_however_it_is_written_in_the_policy(place: dict[str, str], target: str) -> None:
    policy = PathPolicy(bypass=True, **place)  # type: ignore[arg-type]  # texts only
    assert Policy((policy,)).for_target(target.encode()) is policy
    assert Policy((policy,)).for_target(b"/cafe/me") is NO_POLICY


@pytest.mark.parametrize(
    ("pattern", "targets"),
    [
        ("/(?P<where>de|en)/admin", [b"/de/admin", b"/EN//admin/", b"/x/../%65n/admin"]),
        ("/(?P<where>caf%C3%A9)/me", [b"/caf%C3%A9/me", b"/caf%25C3%A9/me"]),
        ("/(.+)/\\1", [b"/a/a", b"/%61/a"]),
        ("/(%C3%A9|e)/\\1", [b"/e/e", b"/%C3%A9/%C3%A9", b"/%25C3%A9/%C3%A9"]),
    ],
)
def test_the_groups_of_a_pattern_are_its_own(pattern: str, targets: list[bytes]) -> None:
    """What is bypassed is compared in two forms; put together in one they had each name twice: a traceback."""
    policy = PathPolicy(pattern=pattern, bypass=True)
    assert [target for target in targets if Policy((policy,)).for_target(target) is policy] == targets


def test_a_path_begins_with_a_slash() -> None:
    with pytest.raises(UsageError, match="slash"):
        Policy((PathPolicy("a/*"),))


@pytest.mark.parametrize(
    ("cookie", "ignored", "left"),
    [
        (b"a=1; b=2", ("a",), b"b=2"),
        (b"_ga=1; _gid=2", ("_g*",), b""),
        (b"a=1;b=2 ; ;", (), b"a=1; b=2"),
        (b"A=1", ("a",), b"A=1"),
        (b"no-equals; a=b=c", ("a",), b"no-equals"),
        (b"", ("a",), b""),
    ],
)
def test_cookies_are_taken_out_by_name(cookie: bytes, ignored: tuple[str, ...], left: bytes) -> None:
    assert without_cookies(cookie, ignored) == left


def _bench(**settings: Any) -> Bench:
    return Bench(Policy((PathPolicy("/*", **settings),)))


@pytest.mark.parametrize(
    ("fields", "hit"),
    [
        ([], True),
        ([("cache-control", "no-store")], False),
        ([("cache-control", "private")], False),
        ([("cache-control", "")], False),
        ([("expires", "0")], False),
        ([("cdn-cache-control", "no-store")], False),
        ([("set-cookie", "a=b")], False),
    ],
)
def test_ttl_holds_where_the_app_says_nothing(fields: list[tuple[str, str]], hit: bool) -> None:
    async def main() -> None:
        bench = _bench(ttl=10.0)
        bench.fill(*fields)
        await bench.wait(9)
        assert bool(bench.send().status) is hit
        await bench.wait(2)
        assert not bench.send().status
        for fetch in bench.origin.fetches:
            fetch.answer()
        bench.at_rest()

    run_virtual(main())


def test_stale_times_go_with_the_ttl() -> None:
    async def main() -> None:
        bench = _bench(ttl=1.0, stale_while_revalidate=5.0, stale_if_error=50.0)
        bench.fill()
        await bench.wait(3)
        assert b"stale-while-revalidate" in bench.send().cache_status
        bench.origin[1].fail()
        await bench.wait(20)
        reply = bench.send()
        bench.origin[2].answer(status=500)
        assert b"stale-if-error" in reply.cache_status
        bench.at_rest()

    run_virtual(main())


def test_ignored_cookies_reach_nobody_and_split_nothing() -> None:
    async def main() -> None:
        bench = _bench(ignore_cookies=("_ga",))
        bench.fill(FRESH, cookie="_ga=1")
        assert b"cookie" not in bench.origin[0].fields
        assert bench.send(cookie="_ga=2").body == b"old"
        bench.send("/other", cookie="_ga=2; user=1")
        assert bench.origin[1].fields[b"cookie"] == b"user=1"
        bench.send(method="POST", cookie="_ga=2", has_body=True)
        assert bench.origin[2].fields[b"cookie"] == b"_ga=2", "only of GET and HEAD"
        for fetch in bench.origin.fetches:
            fetch.answer(FRESH)
        bench.at_rest()

    run_virtual(main())


def test_dropped_parameters_are_no_part_of_the_key() -> None:
    async def main() -> None:
        bench = _bench(drop_query=("utm_*",))
        bench.fill(FRESH, target="/a?utm_source=x&b=1")
        assert bench.origin[0].request.target == b"/a?b=1"
        assert bench.send("/a?b=1&utm_medium=y").body == b"old"
        bench.at_rest()

    run_virtual(main())


def test_stripped_cookies_reach_nobody() -> None:
    async def main() -> None:
        bench = _bench(strip_set_cookie=("a",))
        reply = bench.fill(FRESH, ("set-cookie", "a=b"))
        assert b"set-cookie" not in reply.fields
        assert bench.send().body == b"old"
        bench.at_rest()

    run_virtual(main())


def test_tags_of_the_policy_are_purged_like_others() -> None:
    async def main() -> None:
        bench = _bench(tags=("all",))
        bench.fill(FRESH, ("cache-tag", "own"))
        assert bench.engine.purge_tag(b"all") == 1
        assert not bench.send().status
        bench.origin[1].answer(FRESH)
        bench.at_rest()

    run_virtual(main())


def test_bypass_is_neither_stored_nor_shared() -> None:
    async def main() -> None:
        bench = _bench(bypass=True)
        replies = [bench.send(if_none_match='"1"'), bench.send(range="bytes=0-1")]
        assert bench.origin[0].fields[b"if-none-match"] == b'"1"'
        assert bench.origin[1].fields[b"range"] == b"bytes=0-1"
        for fetch in bench.origin.fetches:
            fetch.answer(FRESH, ("etag", '"1"'))
        assert [(r.status, r.body) for r in replies] == [(200, b"body")] * 2, "as the origin says"
        assert bench.store.objects == 0
        assert b"bypass" in replies[0].cache_status
        bench.at_rest()

    run_virtual(main())


def test_a_304_under_a_ttl_that_is_new_is_for_strangers_alone() -> None:
    """What is stored from before a reload may be for all; what the 304 makes of it is not."""

    async def main() -> None:
        bench = Bench()
        bench.fill(("etag", '"1"'))
        bench.engine.policy = Policy(default=PathPolicy(ttl=60.0))
        stranger, known = bench.send(), bench.send(authorization="Bearer 1")
        bench.origin[1].answer(("etag", '"1"'), status=304, body=b"")
        assert stranger.body == b"old"
        assert not known.over
        bench.origin[2].answer(body=b"own")
        assert known.body == b"own"
        bench.at_rest()

    run_virtual(main())
