"""A cold range that is asked for as a whole, where a policy says for whom that is; and the whole in its variants."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.inbound.cache.policy import PathPolicy, Policy
from penstock.rules.caching.options import CacheOptions
from penstock.testing import run_virtual

from .fakes import FRESH, Bench, RecordingReply

BODY = bytes(range(100))
PART = {"range": "bytes=2-4"}
OTHER = {"range": "bytes=5-6"}


def under(**settings: Any) -> Bench:
    return Bench(Policy((PathPolicy("/*", **settings),)), whole_ranges=settings.pop("whole_ranges", None))


def answer_part(bench: Bench, number: int, *fields: tuple[str, str]) -> None:
    """As an app does that knows ranges: for 5-6, and only where it was asked for."""
    assert bench.origin[number].fields[b"range"] == b"bytes=5-6"
    bench.origin[number].answer(*fields, ("content-range", "bytes 5-6/100"), status=206, body=b"mi")


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("name", ["cookie", "authorization"])
def test_a_whole_with_a_lifetime_for_strangers_is_not_shared_with_who_says_who_it_is(
    name: str, *, streaming: bool
) -> None:
    """Before its head is there, while it comes, and when it is stored."""

    async def main() -> None:
        bench = under(ttl=60.0)
        user: dict[str, str] = {name: "u=1", **OTHER}
        strangers = [bench.send(**PART), bench.send(**OTHER)]
        waiting = bench.send(**user)
        assert len(bench.origin) == 1
        fetch = bench.origin[0].head(length=100)
        if streaming:
            await bench.turn()
        coming = bench.send(**user)
        fetch.body(BODY).end()
        later = bench.send(**user)
        assert [r.body for r in strangers] == [BODY[2:5], BODY[5:7]]
        assert len(bench.origin) == 4
        for number, reply in enumerate((waiting, coming, later), 1):
            answer_part(bench, number)
            assert (reply.status, reply.body) == (206, b"mi")
            assert b"detail=policy-personal" in reply.cache_status
        assert bench.send(**PART).body == BODY[2:5]
        assert len(bench.origin) == 4
        bench.at_rest()

    run_virtual(main())


def test_the_whole_for_who_says_who_it_is_stays_its_own_and_is_asked_for_once() -> None:
    """Its range is cut from it; strangers who waited share another whole, and its next ranges go as they are."""

    async def main() -> None:
        bench = under(ttl=60.0)
        user = bench.send(cookie="u=1", **PART)
        strangers = [bench.send(**PART), bench.send(**OTHER)]
        assert b"range" not in bench.origin[0].fields
        bench.origin[0].answer(body=b"mine" * 25)
        assert (user.status, user.body) == (206, (b"mine" * 25)[2:5])
        assert b"; fwd=uri-miss; detail=policy-personal" in user.cache_status
        assert len(bench.origin) == 2
        bench.origin[1].answer(body=BODY)
        assert [r.body for r in strangers] == [BODY[2:5], BODY[5:7]]
        again = bench.send(cookie="u=1", **OTHER)
        answer_part(bench, 2)
        assert again.body == b"mi"
        bench.at_rest()

    run_virtual(main())


def test_what_is_for_all_by_the_policy_is_one_whole_for_all() -> None:
    async def main() -> None:
        bench = under(ttl=60.0, public=True)
        replies = [bench.send(**PART), bench.send(cookie="u=1", **OTHER)]
        bench.origin[0].answer(body=BODY)
        assert [r.body for r in replies] == [BODY[2:5], BODY[5:7]]
        assert len(bench.origin) == 1
        bench.at_rest()

    run_virtual(main())


def test_what_goes_straight_to_the_app_keeps_its_range() -> None:
    async def main() -> None:
        bench = under(ttl=60.0, bypass_cookies=("sessionid",))
        user, stranger = bench.send(cookie="sessionid=1", **OTHER), bench.send(**PART)
        answer_part(bench, 0)
        assert b"range" not in bench.origin[1].fields
        bench.origin[1].answer(body=BODY)
        assert (user.body, stranger.body) == (b"mi", BODY[2:5])
        assert b"detail=bypass-cookie" in user.cache_status
        bench.at_rest()

    run_virtual(main())


@pytest.mark.parametrize("streaming", [True, False])
def test_a_cookie_that_the_policy_strips_is_in_no_range_of_what_is_kept(*, streaming: bool) -> None:
    async def main() -> None:
        bench = under(strip_set_cookie=("_ga",))
        replies = [bench.send(**PART), bench.send(**OTHER), bench.send()]
        fetch = bench.origin[0].head(FRESH, ("set-cookie", "_ga=1"), length=100)
        if streaming:
            await bench.turn()
        fetch.body(BODY).end()
        replies.append(bench.send(**PART))
        assert [(r.status, r.body) for r in replies] == [
            *((206, BODY[2:5]), (206, BODY[5:7]), (200, BODY), (206, BODY[2:5]))
        ]
        assert not any(b"set-cookie" in r.fields for r in replies)
        assert len(bench.origin) == 1
        bench.at_rest()

    run_virtual(main())


@pytest.mark.parametrize(("most", "why"), [(50, "too-large"), (None, "private")])
def test_a_range_of_what_is_passed_on_keeps_its_cookie_and_is_told_why(most: int | None, why: str) -> None:
    async def main() -> None:
        bench = Bench(Policy((PathPolicy("/*", strip_set_cookie=("_ga",)),)), whole_ranges=most)
        said = FRESH if most else ("cache-control", "private")
        reply, other = bench.send(**PART), bench.send(**OTHER)
        bench.origin[0].answer(said, ("set-cookie", "_ga=1"), body=BODY)
        assert (reply.status, reply.body, reply.fields[b"set-cookie"]) == (206, BODY[2:5], b"_ga=1")
        assert reply.cache_status == f"penstock; fwd=uri-miss; detail={why}".encode()
        answer_part(bench, 1, said)
        assert other.body == b"mi"
        bench.at_rest()

    run_virtual(main())


def test_a_page_that_was_made_of_a_cookie_outside_of_the_key_is_not_shared_in_ranges_either() -> None:
    """That it sets a cookie tells, also where the app was asked for the whole."""

    async def main() -> None:
        policy = Policy((PathPolicy("/*", unkeyed_cookies=("csrftoken",)),))
        bench = Bench(policy, options=CacheOptions(profile="rfc"))
        one, other = bench.send(cookie="csrftoken=a", **PART), bench.send(cookie="csrftoken=b", **OTHER)
        bench.origin[0].answer(FRESH, ("set-cookie", "csrftoken=a"), body=BODY)
        assert one.body == BODY[2:5]
        assert b"detail=set-cookie" in one.cache_status
        answer_part(bench, 1, FRESH)
        assert other.body == b"mi"
        assert not [each for each in bench.store.get(b"http://shop.example/") or () if each.status == 200]
        bench.at_rest()

    run_virtual(main())


def test_an_error_with_a_ttl_to_a_range_that_was_not_sent_is_for_all() -> None:
    async def main() -> None:
        bench = under(ttl_by_status={404: 60.0})
        replies = [bench.send(**PART), bench.send(**OTHER)]
        bench.origin[0].answer(status=404, body=b"gone")
        replies.append(bench.send())
        assert [(r.status, r.body) for r in replies] == [(404, b"gone")] * 3
        assert len(bench.origin) == 1
        bench.at_rest()

    run_virtual(main())


@pytest.mark.parametrize("name", ["accept_language", "accept_encoding"])
def test_a_whole_that_turns_out_to_vary_is_joined_by_ranges_of_its_variant_alone(name: str) -> None:
    async def main() -> None:
        bench = Bench()
        first = bench.send(**{name: "gzip"}, **PART)
        vary = ("vary", name.replace("_", "-"))
        coded = [("content-encoding", "gzip")] if name == "accept_encoding" else []
        fetch = bench.origin[0].head(FRESH, vary, *coded, length=100)
        await bench.turn()
        late, other = bench.send(**{name: "gzip"}, **OTHER), bench.send(**{name: "br"}, **OTHER)
        assert len(bench.origin) == 2
        fetch.body(BODY).end()
        bench.origin[1].answer(FRESH, vary, body=b"another")
        assert [r.body for r in (first, late, other)] == [BODY[2:5], BODY[5:7], b"er"]
        bench.at_rest()

    run_virtual(main())


def test_wholes_are_shared_within_their_variant() -> None:
    """Ranges in other words for the same coding are one; another language is another whole."""

    async def main() -> None:
        bench = under(accept_language=("de", "en"))
        varies = ("vary", "accept-encoding, accept-language")
        for offered in ("gzip, br", "gzip"):
            bench.send(accept_encoding=offered)
            bench.origin[-1].answer(FRESH, varies, ("content-encoding", "gzip"))
        bench.engine.purge_all()
        asked = [
            {"accept_language": "de-CH, fr;q=0.5", "accept_encoding": "br, gzip"},
            {"accept_language": "en", "accept_encoding": "gzip"},
        ]
        before = len(bench.origin)
        replies: list[list[RecordingReply]] = [
            [bench.send(**each, **PART), bench.send(**{**each, "accept_encoding": "gzip"}, **OTHER)] for each in asked
        ]
        assert len(bench.origin) == before + 2
        for number, each in enumerate(replies):
            body = bytes([number]) * 10
            bench.origin[before + number].answer(FRESH, varies, ("content-encoding", "gzip"), body=body)
            assert [r.body for r in each] == [body[2:5], body[5:7]]
        assert bench.send(accept_language="de", accept_encoding="gzip", range="bytes=0-0").body == b"\0"
        assert len(bench.origin) == before + 2
        bench.at_rest()

    run_virtual(main())
