"""HEAD: answered by what is stored for GET, and what the origin's answer to it says of that (RFC 9111, 4.3.5)."""

from __future__ import annotations

import pytest

from penstock.inbound.cache.policy import PathPolicy, Policy
from penstock.rules.caching.options import CacheOptions
from penstock.testing import run_virtual

from .fakes import FRESH, Bench

ETAG = ("etag", '"1"')
MODIFIED = ("last-modified", "Wed, 31 Dec 2025 00:00:00 GMT")
SHORT = ("cache-control", "max-age=1")
SWR = ("cache-control", "max-age=1, stale-while-revalidate=60")


def test_a_head_is_answered_from_what_is_stored_for_get() -> None:
    async def main() -> None:
        bench = Bench()
        bench.fill(FRESH, ETAG)
        assert bench.send(method="HEAD").status == 200
        assert bench.send(method="HEAD", range="bytes=0-0").status == 200
        assert bench.send(method="HEAD", if_none_match='"1"').status == 304
        assert len(bench.origin) == 1
        bench.at_rest()

    run_virtual(main())


def test_a_head_is_never_joined_and_stores_nothing() -> None:
    async def main() -> None:
        bench = Bench()
        replies = [bench.send(method="HEAD"), bench.send(method="HEAD"), bench.send()]
        assert [f.request.method for f in bench.origin.fetches] == [b"HEAD", b"HEAD", b"GET"]
        for fetch in bench.origin.fetches[:2]:
            fetch.answer(FRESH, ("content-length", "4"), body=b"")
        assert replies[0].fields[b"content-length"] == b"4"
        assert replies[0].ended
        assert bench.store.objects == 0
        bench.origin[2].answer(FRESH)
        bench.at_rest()

    run_virtual(main())


@pytest.mark.parametrize(
    ("said", "fresh"),
    [
        ([FRESH, ETAG, MODIFIED, ("content-length", "3")], True),
        ([FRESH, ETAG], True),
        ([FRESH], True),
        ([FRESH, ("etag", '"2"')], False),
        ([FRESH, ("last-modified", "Wed, 31 Dec 2025 00:00:01 GMT")], False),
        ([FRESH, ETAG, ("content-length", "4")], False),
        ([("cache-control", "private"), ETAG], False),
        ([("cache-control", "no-store"), ETAG], False),
    ],
)
def test_a_head_freshens_what_it_agrees_with(said: list[tuple[str, str]], fresh: bool) -> None:
    async def main() -> None:
        bench = Bench()
        bench.fill(SHORT, ETAG, MODIFIED)
        await bench.wait(2)
        head = bench.send(method="HEAD")
        bench.origin[1].answer(*said, body=b"")
        assert head.ended
        assert head.status == 200
        reply = bench.send()
        assert (reply.body == b"old") is fresh
        if not fresh:
            assert bench.origin[2].fields[b"if-none-match"] == b'"1"'
            bench.origin[2].answer(FRESH, body=b"new")
        bench.at_rest()

    run_virtual(main())


@pytest.mark.parametrize("status", [404, 500, 204, 304])
def test_another_answer_to_head_changes_nothing(status: int) -> None:
    async def main() -> None:
        bench = Bench()
        bench.fill(SHORT, ETAG)
        await bench.wait(2)
        bench.send(method="HEAD", if_none_match='"9"')
        assert bench.origin[1].fields[b"if-none-match"] == b'"9"', "as the client sent it"
        bench.origin[1].answer(FRESH, ETAG, status=status, body=b"")
        assert bench.store.objects == 1
        bench.send()
        bench.origin[2].answer(FRESH, ETAG, status=304, body=b"")
        bench.at_rest()

    run_virtual(main())


def test_a_head_with_an_unkeyed_cookie_brings_no_cookie_by_the_letter_either() -> None:
    """What is merged is judged as for a GET: the token that one visitor got with a HEAD was stored, and sent to all."""

    async def main() -> None:
        bench = Bench(Policy(default=PathPolicy(unkeyed_cookies=("csrftoken",))), CacheOptions(profile="rfc"))
        bench.fill(SHORT, ETAG)
        await bench.wait(2)
        bench.send(method="HEAD", cookie="csrftoken=mine")
        bench.origin[-1].answer(FRESH, ETAG, ("set-cookie", "csrftoken=mine"), body=b"")
        reply = bench.send()
        bench.origin[-1].answer(FRESH, ETAG)
        assert b"set-cookie" not in reply.fields
        bench.at_rest()

    run_virtual(main())


def test_a_purge_during_a_head_counts_for_what_it_would_have_freshened() -> None:
    async def main() -> None:
        bench = Bench(Policy((PathPolicy("/*", tags=("t",)),)))
        bench.fill(SHORT, ETAG)
        await bench.wait(2)
        bench.send(method="HEAD")
        bench.engine.purge_tag(b"t")
        bench.origin[1].answer(FRESH, ETAG, body=b"")
        bench.send()
        assert len(bench.origin) == 3
        bench.origin[2].answer(FRESH)
        bench.at_rest()

    run_virtual(main())
