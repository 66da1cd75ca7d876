"""What is stale and asked about: 304 and who gets it, followers of other kinds, refreshes, purges meanwhile."""

from __future__ import annotations

import pytest

from penstock.errors import AttemptTimeout, CallError, ConnectionLost, ConnectTimeout, ProtocolError
from penstock.inbound.cache.policy import PathPolicy, Policy
from penstock.rules.caching.decisions import Decision
from penstock.rules.caching.options import CacheOptions
from penstock.testing import run_virtual

from .fakes import FRESH, Bench

SHORT = ("cache-control", "max-age=1")
ETAG = ("etag", '"1"')
SWR = ("cache-control", "max-age=1, stale-while-revalidate=60")
SIE = ("cache-control", "max-age=1, stale-if-error=60")
VARY = ("vary", "accept-language")


def test_a_304_answers_all_who_wait_from_what_is_stored() -> None:
    async def main() -> None:
        bench = Bench()
        bench.fill(SHORT, ETAG)
        await bench.wait(2)
        plain = [bench.send() for _ in range(3)]
        tagged = bench.send(if_none_match='"1"')
        ranged = bench.send(range="bytes=1-")
        head = bench.send(method="HEAD")
        fetch = bench.origin[1]
        assert fetch.fields[b"if-none-match"] == b'"1"'
        assert len(bench.origin) == 3, "HEAD goes by itself"
        fetch.answer(FRESH, ETAG, status=304, body=b"")
        bench.origin[2].answer(FRESH, ETAG, body=b"")
        assert [(r.status, r.body) for r in plain] == [(200, b"old")] * 3
        assert (tagged.status, tagged.body) == (304, b"")
        assert (ranged.status, ranged.body) == (206, b"ld")
        assert head.status == 200
        assert bench.send().body == b"old"
        assert len(bench.origin) == 3, "fresh again"
        bench.at_rest()

    run_virtual(main())


def test_the_condition_of_one_client_is_not_put_to_the_origin_for_all() -> None:
    async def main() -> None:
        bench = Bench()
        tagged, plain = bench.send(if_none_match='"mine"'), bench.send()
        assert b"if-none-match" not in bench.origin[0].fields
        bench.origin[0].answer(FRESH, ("etag", '"mine"'))
        assert (tagged.status, plain.status) == (304, 200)
        bench.at_rest()

    run_virtual(main())


def test_a_conditional_follower_gets_a_304_as_soon_as_the_head_is_there() -> None:
    async def main() -> None:
        bench = Bench()
        bench.send()
        tagged = bench.send(if_none_match='"1"')
        fetch = bench.origin[0].head(FRESH, ETAG)
        await bench.turn()
        assert (tagged.status, tagged.ended) == (304, True)
        fetch.body(b"x").end()
        bench.at_rest()

    run_virtual(main())


def test_a_304_that_selects_nothing_is_followed_by_one_plain_request() -> None:
    async def main() -> None:
        bench = Bench()
        bench.fill(SHORT, ETAG)
        await bench.wait(2)
        replies = [bench.send(), bench.send()]
        bench.origin[1].head(("etag", '"other"'), status=304)
        assert bench.origin[1].cancelled
        assert b"if-none-match" not in bench.origin[2].fields
        bench.origin[2].answer(FRESH, body=b"new")
        assert [r.body for r in replies] == [b"new", b"new"]
        assert len(bench.origin) == 3
        bench.at_rest()

    run_virtual(main())


def test_a_304_that_makes_it_private_reaches_the_one_who_asked_only() -> None:
    async def main() -> None:
        bench = Bench()
        bench.fill(SHORT, ETAG)
        await bench.wait(2)
        leader, follower = bench.send(), bench.send()
        bench.origin[1].answer(("cache-control", "private"), ETAG, status=304, body=b"")
        assert leader.body == b"old"
        assert not follower.status
        assert bench.store.objects == 0
        bench.origin[2].answer(FRESH, body=b"new")
        assert follower.body == b"new"
        bench.at_rest()

    run_virtual(main())


def _with_two_languages(bench: Bench) -> None:
    """Both stored, and nothing known any more of what the answers depend on."""
    bench.fill(SHORT, ETAG, VARY, accept_language="en", body=b"hello")
    bench.fill(SHORT, ETAG, VARY, accept_language="de", body=b"hallo")
    bench.engine.flights.vary_hints.clear()


def test_a_304_is_no_answer_for_another_variant() -> None:
    async def main() -> None:
        bench = Bench()
        _with_two_languages(bench)
        await bench.wait(2)
        english, german = bench.send(accept_language="en"), bench.send(accept_language="de")
        bench.origin[2].answer(FRESH, ETAG, status=304, body=b"")
        if len(bench.origin) == 4:
            bench.origin[3].answer(FRESH, ETAG, status=304, body=b"")
        assert (english.body, german.body) == (b"hello", b"hallo")
        bench.at_rest()

    run_virtual(main())


@pytest.mark.parametrize("how", ["status", "lost"])
def test_a_stale_answer_is_none_for_another_variant(how: str) -> None:
    async def main() -> None:
        bench = Bench()
        bench.fill(SIE, ETAG, VARY, accept_language="en", body=b"hello")
        bench.fill(SIE, ETAG, VARY, accept_language="de", body=b"hallo")
        bench.engine.flights.vary_hints.clear()
        await bench.wait(2)
        english, german = bench.send(accept_language="en"), bench.send(accept_language="de")
        for _ in range(2):
            bench.origin[-1].answer(status=503) if how == "status" else bench.origin[-1].fail()
        assert (english.body, german.body) == (b"hello", b"hallo")
        bench.at_rest()

    run_virtual(main())


# Kinds of failure, what the stored response says, whether it may answer, and the status otherwise.
FAILURES: list[tuple[str, CallError | int, str, bool, int]] = [
    ("500", 500, "max-age=1, stale-if-error=60", True, 0),
    ("503", 503, "max-age=1, stale-if-error=60", True, 0),
    ("404 is an answer", 404, "max-age=1, stale-if-error=60", False, 404),
    ("501 is an answer", 501, "max-age=1, stale-if-error=60", False, 501),
    ("over", 500, "max-age=1, stale-if-error=2", False, 500),
    ("must-revalidate", 500, "max-age=1, stale-if-error=60, must-revalidate", False, 500),
    ("status, nothing granted", 500, "max-age=1", False, 500),
    ("lost", ConnectionLost("x"), "max-age=1, stale-if-error=60", True, 0),
    ("lost, nothing said", ConnectionLost("x"), "max-age=1", True, 0),
    ("lost, forbidden", ConnectionLost("x"), "max-age=1, must-revalidate", False, 502),
    ("lost, no-cache", ConnectionLost("x"), "no-cache", False, 502),
    ("hangs", AttemptTimeout("x"), "max-age=1, stale-if-error=60", True, 0),
    ("hangs, nothing said", AttemptTimeout("x"), "max-age=1", False, 504),
    ("unreachable, nothing said", ConnectTimeout("x"), "max-age=1", True, 0),
    ("garbled", ProtocolError("x"), "max-age=1, stale-if-error=60", True, 0),
    ("garbled, nothing said", ProtocolError("x"), "max-age=1", False, 502),
]


@pytest.mark.parametrize(
    ("failure", "control", "allowed", "status"), [each[1:] for each in FAILURES], ids=[each[0] for each in FAILURES]
)
def test_stale_if_error(failure: CallError | int, control: str, allowed: bool, status: int) -> None:
    async def main() -> None:
        bench = Bench()
        bench.fill(("cache-control", control), ETAG)
        await bench.wait(10)
        replies = [bench.send(), bench.send()]
        if isinstance(failure, int):
            bench.origin[1].answer(status=failure, body=b"bad")
            if not allowed:
                bench.origin[2].answer(status=failure, body=b"bad")
        else:
            bench.origin[1].fail(failure)
        expected = (200, b"old") if allowed else (status, replies[0].body)
        assert [(r.status, r.body) for r in replies] == [expected] * 2
        assert bench.store.objects == (0 if failure == 404 else 1)
        if allowed:
            assert b"hit" in replies[0].cache_status
            assert int(replies[0].fields[b"age"]) >= 10
        bench.at_rest()

    run_virtual(main())


def test_a_head_gets_the_stale_answer_too_where_the_origin_fails() -> None:
    async def main() -> None:
        bench = Bench()
        bench.fill(SIE, ETAG)
        await bench.wait(2)
        reply = bench.send(method="HEAD")
        bench.origin[1].fail()
        assert reply.status == 200
        assert bench.store.objects == 1
        bench.at_rest()

    run_virtual(main())


def test_an_origin_that_is_down_is_not_waited_for() -> None:
    async def main() -> None:
        bench = Bench()
        bench.fill(SHORT, ETAG)
        await bench.wait(2)
        for _ in range(3):
            assert bench.send().status == 0
            bench.origin[-1].fail()
        assert bench.engine.health.is_down(bench.engine.clock.now())
        assert b"origin-down" in bench.send().cache_status
        assert len(bench.origin) == 5, "tried behind it"
        assert b"origin-down" in bench.send().cache_status
        assert len(bench.origin) == 5, "once"
        bench.origin[4].answer(FRESH, body=b"new")
        assert not bench.engine.health.is_down(bench.engine.clock.now())
        assert bench.send().body == b"new"
        bench.at_rest()

    run_virtual(main())


def test_an_origin_that_is_down_is_tried_again_after_a_second() -> None:
    async def main() -> None:
        bench = Bench()
        bench.fill(SHORT, ETAG)
        await bench.wait(2)
        for _ in range(3):
            bench.send()
            bench.origin[-1].fail()
        await bench.wait(1)
        reply = bench.send()
        assert reply.status == 0
        bench.origin[-1].answer(FRESH, body=b"new")
        assert reply.body == b"new"
        bench.at_rest()

    run_virtual(main())


def test_a_refresh_in_the_background_is_one_and_bounded() -> None:
    async def main() -> None:
        bench = Bench(max_refreshes=2)
        for n in range(3):
            bench.fill(SWR, ETAG, target=f"/{n}")
        await bench.wait(2)
        for _ in range(3):
            for n in range(3):
                assert bench.send(f"/{n}").body == b"old"
        assert len(bench.origin) == 5
        assert bench.engine.flights.refreshing == 2
        bench.origin[3].answer(SWR, ETAG, status=304, body=b"")
        bench.origin[4].fail()
        assert bench.engine.flights.refreshing == 0
        bench.send("/2")
        assert len(bench.origin) == 6
        bench.origin[5].answer(SWR, body=b"new")
        assert bench.send("/2").body == b"new"
        bench.at_rest()

    run_virtual(main())


@pytest.mark.parametrize("how", ["private", "304 private", "500", "lost", "too large", "304 of another"])
def test_however_a_refresh_ends_its_place_is_free_again(how: str) -> None:
    async def main() -> None:
        bench = Bench(max_refreshes=1, max_object=100_000)
        bench.fill(SWR, ETAG)
        await bench.wait(2)
        bench.send()
        fetch = bench.origin[1]
        if how == "private":
            fetch.answer(("cache-control", "private"))
        elif how == "304 private":
            fetch.answer(("cache-control", "private"), ETAG, status=304, body=b"")
        elif how == "500":
            fetch.answer(status=500)
        elif how == "lost":
            fetch.head(SWR).fail()
        elif how == "too large":
            fetch.head(SWR).body(b"x" * 200_000)
            assert fetch.cancelled, "nobody wants the rest"
        else:
            fetch.answer(SWR, ("etag", '"2"'), status=304, body=b"")
            bench.origin[2].answer(SWR)
        assert bench.engine.flights.refreshing == 0
        bench.at_rest()

    run_virtual(main())


@pytest.mark.parametrize("soft", [True, False])
@pytest.mark.parametrize("what", ["url", "tag", "all"])
@pytest.mark.parametrize("when", ["before the head", "after the head"])
def test_a_purge_during_a_fetch(what: str, soft: bool, when: str) -> None:
    """What was asked for before is neither joined nor, after a hard purge, stored; who waits gets it."""

    async def main() -> None:
        bench = Bench()
        early = bench.send()
        fetch = bench.origin[0]
        if when == "after the head":
            fetch.head(FRESH, ("cache-tag", "t"))
            await bench.turn()
        if what == "url":
            bench.engine.forget_url(b"http://shop.example/", soft=soft)
        elif what == "tag":
            bench.engine.purge_tag(b"t", soft=soft)
        else:
            bench.engine.purge_all(soft=soft)
        if when == "before the head":
            fetch.head(FRESH, ("cache-tag", "t"), ("vary", "accept"))
            await bench.turn()
        late = bench.send()
        assert len(bench.origin) == 2, "not joined"
        fetch.body(b"old").end()
        assert early.body == b"old"
        bench.origin[1].answer(FRESH, ("cache-tag", "t"), body=b"new")
        assert late.body == b"new"
        assert bench.send().body == b"new"
        bench.at_rest()

    run_virtual(main())


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "WEIRD"])
def test_an_unsafe_method_invalidates_also_what_is_on_its_way(method: str) -> None:
    async def main() -> None:
        bench = Bench()
        bench.fill(SHORT, target="/elsewhere")
        early = bench.send()
        bench.send(method=method, has_body=True)
        assert bench.origin[2].reply is not None
        bench.origin[2].answer(("location", "/elsewhere"), status=201)
        late = bench.send()
        assert len(bench.origin) == 4
        bench.origin[1].answer(FRESH, body=b"old")
        assert early.body == b"old"
        bench.origin[3].answer(FRESH, body=b"new")
        assert late.body == bench.send().body == b"new"
        bench.send("/elsewhere")
        assert len(bench.origin) == 5
        bench.origin[4].answer(FRESH)
        bench.at_rest()

    run_virtual(main())


def test_an_answer_to_post_that_is_one_to_get_is_stored_though_it_invalidates() -> None:
    async def main() -> None:
        bench = Bench()
        bench.fill(FRESH)
        bench.send(method="POST", has_body=True)
        bench.origin[1].answer(FRESH, ("content-location", "/"), body=b"new")
        assert bench.send().body == b"new"
        bench.at_rest()

    run_virtual(main())


def test_an_unsafe_method_that_fails_invalidates_nothing() -> None:
    async def main() -> None:
        bench = Bench()
        bench.fill(FRESH)
        bench.send(method="POST", has_body=True)
        bench.origin[1].answer(status=500)
        assert bench.send().body == b"old"
        bench.at_rest()

    run_virtual(main())


def test_what_must_be_confirmed_each_time_is_not_joined_after_its_head() -> None:
    """no-cache: it may be stored, but each use needs the origin's word, given after the request came."""

    async def main() -> None:
        bench = Bench()
        first, second = bench.send(), bench.send()
        bench.origin[0].head(("cache-control", "no-cache"), ETAG)
        await bench.turn()
        assert len(bench.origin) == 2, "the second asks by itself"
        third = bench.send()
        assert len(bench.origin) == 3, "and so does the third"
        for fetch in bench.origin.fetches[1:]:
            fetch.head(("cache-control", "no-cache"), ETAG)
        for number, fetch in enumerate(bench.origin.fetches):
            fetch.body(b"%d" % number).end()
        assert [r.body for r in (first, second, third)] == [b"0", b"1", b"2"]
        bench.at_rest()

    run_virtual(main())


def test_a_cookie_of_a_304_goes_to_the_one_who_asked_unless_the_policy_strips_it() -> None:
    async def main() -> None:
        for strip in ((), ("a",)):
            bench = Bench(Policy((PathPolicy("/*", strip_set_cookie=strip),)))
            bench.fill(SHORT, ETAG)
            await bench.wait(2)
            leader, follower = bench.send(), bench.send()
            bench.origin[1].answer(FRESH, ETAG, ("set-cookie", "a=b"), status=304, body=b"")
            assert (b"set-cookie" in leader.fields) is not bool(strip)
            assert b"set-cookie" not in follower.fields
            assert b"set-cookie" not in bench.send().fields
            bench.at_rest()

    run_virtual(main())


def test_a_304_of_the_rfc_profile_brings_no_cookie_that_the_policy_strips() -> None:
    async def main() -> None:
        bench = Bench(Policy((PathPolicy("/*", strip_set_cookie=("a",)),)), CacheOptions(profile="rfc"))
        bench.fill(SHORT, ETAG)
        await bench.wait(2)
        bench.send()
        bench.origin[1].answer(FRESH, ETAG, ("set-cookie", "a=b"), status=304, body=b"")
        assert b"set-cookie" not in bench.send().fields
        bench.at_rest()

    run_virtual(main())


def test_a_head_of_the_rfc_profile_brings_no_cookie_that_the_policy_strips() -> None:
    async def main() -> None:
        bench = Bench(Policy((PathPolicy("/*", strip_set_cookie=("a",)),)), CacheOptions(profile="rfc"))
        bench.fill(SHORT, ETAG)
        await bench.wait(2)
        bench.send(method="HEAD")
        bench.origin[1].answer(FRESH, ETAG, ("set-cookie", "a=b"), ("content-length", "3"), body=b"")
        reply = bench.send()
        assert b"hit" in reply.cache_status
        assert b"set-cookie" not in reply.fields
        bench.at_rest()

    run_virtual(main())


@pytest.mark.parametrize("how", ["200", "304", "HEAD", "soft purge"])
def test_an_older_answer_that_comes_late_does_not_replace_a_newer_one(how: str) -> None:
    async def main() -> None:
        bench = Bench()
        if how == "soft purge":
            bench.send()
            bench.origin[0].head(FRESH)
            bench.engine.forget_url(b"http://shop.example/", soft=True)
            await bench.wait(1)
            bench.send()
            bench.origin[1].answer(FRESH, body=b"new")
            bench.origin[0].body(b"old").end()
        else:
            bench.fill(SHORT, ETAG)
            await bench.wait(2)
            private = Decision(False, "private", "")
            bench.engine.refusals.note(b"http://shop.example/", {}, bench.engine.clock.now(), private, 200)
            bench.send(method="HEAD" if how == "HEAD" else "GET"), bench.send()
            first, second = bench.origin[1], bench.origin[2]
            if how == "200":
                first.head(FRESH, ETAG)
            await bench.wait(1)
            second.answer(FRESH, ("etag", '"2"'), body=b"new")
            if how == "304":
                first.answer(FRESH, ETAG, status=304, body=b"")
            else:
                first.head(FRESH, ETAG) if how == "HEAD" else first.body(b"old")
                first.end()
        assert bench.send().body == b"new"
        bench.at_rest()

    run_virtual(main())


def test_clients_answered_304_without_the_origin_are_counted() -> None:
    async def main() -> None:
        bench = Bench()
        bench.fill(("cache-control", "max-age=60"), ("etag", '"a"'))
        assert bench.send(if_none_match='"a"').status == 304
        bench.send()
        assert bench.engine.counters.not_modified == 1

    run_virtual(main())


def test_where_the_server_adds_the_date_a_head_that_confirms_gets_none_from_here() -> None:
    """The date by which the stored answer was freshened went into the answer to HEAD too, beside the server's own."""

    async def main() -> None:
        bench = Bench(adds_date=False)
        bench.fill(("cache-control", "max-age=1"), ("etag", '"a"'))
        await bench.wait(2)
        reply = bench.send(method="HEAD")
        bench.origin[1].answer(("cache-control", "max-age=60"), ("etag", '"a"'), body=b"")
        assert reply.status == 200
        assert b"date" not in reply.fields
        assert b"hit" in bench.send().cache_status
        bench.at_rest()

    run_virtual(main())
