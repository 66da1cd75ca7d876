"""Ranges: of what is stored, of what is on its way, and 206 answers that are stored themselves."""

from __future__ import annotations

import pytest

from penstock.rules.caching.options import CacheOptions
from penstock.testing import run_virtual

from .fakes import FRESH, Bench

ETAG = ("etag", '"1"')
SHORT = ("cache-control", "max-age=1")
PART = ("content-range", "bytes 0-4/10")


def test_of_what_is_stored() -> None:
    async def main() -> None:
        bench = Bench(whole_ranges=0)
        bench.fill(FRESH, ETAG, body=b"0123456789")
        table = [
            ("bytes=2-4", 206, b"234"),
            ("bytes=-3", 206, b"789"),
            ("bytes=10-", 416, b""),
            ("bytes=5-2", 200, b"0123456789"),
            ("lines=1-2", 200, b"0123456789"),
            ("bytes=0-1,4-5", 200, b"0123456789"),
        ]
        for wanted, status, body in table:
            reply = bench.send(range=wanted)
            assert (reply.status, reply.body) == (status, body), wanted
        assert bench.send(range="bytes=0-0", if_range='"2"').status == 200
        assert bench.send(range="bytes=0-0", if_range='"1"').status == 206
        assert len(bench.origin) == 1
        bench.at_rest()

    run_virtual(main())


@pytest.mark.parametrize(
    ("wanted", "content_range", "body"),
    [
        ({"range": "bytes=0-4"}, "bytes 0-4/10", b"01234"),
        ({"range": "bytes=0-4", "if_range": '"1"'}, "bytes 0-4/10", b"01234"),
        ({"range": "bytes=0-"}, "bytes 0-4/*", b"01234"),
        ({"range": "bytes=-5"}, "bytes 5-9/10", b"56789"),
        ({"range": "bytes=0-4"}, "bytes 5-9/10", b"56789"),
        ({"range": "bytes=0-1,3-4"}, "bytes 0-4/10", b"01234"),
        ({"range": "bytes=0-9"}, "bytes 0-4/10", b"012"),
    ],
)
@pytest.mark.parametrize("streaming", [True, False])
def test_equal_ranges_share_an_answer_as_it_came(
    wanted: dict[str, str], content_range: str, body: bytes, streaming: bool
) -> None:
    async def main() -> None:
        bench = Bench(whole_ranges=0)
        replies = [bench.send(**wanted), bench.send(**wanted)]
        assert len(bench.origin) == 1
        bench.origin[0].head(FRESH, ETAG, ("content-range", content_range), status=206)
        if streaming:
            await bench.turn()
        bench.origin[0].body(body).end()
        for reply in replies:
            assert (reply.status, reply.body, reply.ended) == (206, body, True)
            assert reply.fields[b"content-range"] == content_range.encode()
        bench.at_rest()

    run_virtual(main())


def test_other_ranges_do_not_wait_for_each_other() -> None:
    async def main() -> None:
        bench = Bench(whole_ranges=0)
        bench.send(range="bytes=0-4"), bench.send(range="bytes=5-9"), bench.send()
        assert len(bench.origin) == 3
        for fetch in bench.origin.fetches:
            fetch.answer(FRESH)
        bench.at_rest()

    run_virtual(main())


def test_a_stored_part_answers_what_lies_in_it() -> None:
    async def main() -> None:
        bench = Bench(whole_ranges=0)
        bench.fill(FRESH, ETAG, PART, body=b"01234", status=206, range="bytes=0-4")
        reply = bench.send(range="bytes=1-2")
        assert (reply.status, reply.body, reply.fields[b"content-range"]) == (206, b"12", b"bytes 1-2/10")
        assert bench.send(range="bytes=4-6").status == 0
        assert bench.origin[1].fields[b"range"] == b"bytes=4-6"
        assert b"if-none-match" not in bench.origin[1].fields
        bench.origin[1].answer(FRESH)
        bench.at_rest()

    run_virtual(main())


def test_a_plain_request_does_not_wait_for_a_part_to_be_confirmed() -> None:
    async def main() -> None:
        bench = Bench(whole_ranges=0)
        bench.fill(SHORT, ETAG, PART, body=b"01234", status=206, range="bytes=0-4")
        await bench.wait(2)
        ranged = bench.send(range="bytes=1-2")
        assert bench.origin[1].fields[b"if-none-match"] == b'"1"'
        plain = bench.send()
        bench.origin[1].answer(FRESH, ETAG, status=304, body=b"")
        assert (ranged.status, ranged.body) == (206, b"12")
        assert len(bench.origin) == 3
        bench.origin[2].answer(FRESH, ETAG, body=b"0123456789")
        assert (plain.status, plain.body) == (200, b"0123456789")
        bench.at_rest()

    run_virtual(main())


def test_a_range_that_the_client_asked_for_alone_streams_though_the_origin_sends_all() -> None:
    async def main() -> None:
        bench = Bench(whole_ranges=0)
        bench.fill(("cache-control", "private"))
        reply = bench.send(range="bytes=0-1")
        bench.origin[1].head(FRESH, length=6)
        await bench.turn()
        bench.origin[1].body(b"012")
        assert (reply.status, reply.body) == (200, b"012")
        bench.origin[1].body(b"345").end()
        assert reply.ended
        bench.at_rest()

    run_virtual(main())


def test_a_part_does_not_replace_the_whole_that_came_first() -> None:
    async def main() -> None:
        bench = Bench(whole_ranges=0)
        ranged, plain = bench.send(range="bytes=0-4"), bench.send()
        bench.origin[1].answer(FRESH, ETAG, body=b"0123456789")
        bench.origin[0].answer(FRESH, ETAG, PART, status=206, body=b"01234")
        assert (ranged.status, plain.status) == (206, 200)
        assert bench.send().body == b"0123456789"
        assert len(bench.origin) == 2
        bench.at_rest()

    run_virtual(main())


def _half(bench: Bench, *more: tuple[str, str]) -> None:
    bench.fill(FRESH, PART, *more, body=b"01234", status=206, range="bytes=0-4")


@pytest.mark.parametrize("streaming", [True, False])
def test_a_plain_request_is_completed_from_a_stored_beginning(streaming: bool) -> None:
    async def main() -> None:
        bench = Bench(whole_ranges=0)
        _half(bench, ETAG, ("content-type", "text/plain"))
        replies = [bench.send(), bench.send()]
        fetch = bench.origin[1]
        assert (fetch.fields[b"range"], fetch.fields[b"if-range"]) == (b"bytes=5-", b'"1"')
        fetch.head(FRESH, ETAG, ("content-range", "bytes 5-9/10"), status=206, length=5)
        if streaming:
            await bench.turn()
            assert replies[0].body == b"01234", "at once"
        fetch.body(b"56789").end()
        replies.append(bench.send())
        for reply in replies:
            assert (reply.status, reply.body, reply.ended) == (200, b"0123456789", True)
            assert reply.fields[b"content-type"] == b"text/plain"
            assert b"content-range" not in reply.fields
        assert len(bench.origin) == 2
        assert bench.engine.counters.bytes_from_origin == 10
        bench.at_rest()

    run_virtual(main())


@pytest.mark.parametrize(
    ("fields", "status", "length"),
    [
        ([("etag", '"2"'), ("content-range", "bytes 5-9/10")], 206, 5),
        ([("content-range", "bytes 5-9/10")], 206, 5),
        ([ETAG, ("content-range", "bytes 6-9/10")], 206, 4),
        ([ETAG, ("content-range", "bytes 5-9/11")], 206, 5),
        ([ETAG, ("content-range", "bytes 5-8/10")], 206, 4),
        ([ETAG, ("content-range", "bytes 5-9/10")], 206, 6),
        ([ETAG, ("content-range", "bytes 5-9/10")], 206, None),
        ([ETAG], 206, 5),
        ([("content-range", "bytes */10")], 416, 0),
        ([], 304, 0),
    ],
)
def test_what_cannot_be_joined_is_followed_by_one_plain_request(
    fields: list[tuple[str, str]], status: int, length: int | None
) -> None:
    async def main() -> None:
        bench = Bench(whole_ranges=0)
        _half(bench, ETAG)
        replies = [bench.send(), bench.send()]
        bench.origin[1].head(FRESH, *fields, status=status, length=length)
        assert bench.origin[1].cancelled
        assert b"range" not in bench.origin[2].fields
        assert b"if-range" not in bench.origin[2].fields
        bench.origin[2].answer(FRESH, ETAG, body=b"abcdefghij")
        assert [(r.status, r.body) for r in replies] == [(200, b"abcdefghij")] * 2
        assert len(bench.origin) == 3
        bench.at_rest()

    run_virtual(main())


@pytest.mark.parametrize("tag", [[], [("etag", 'W/"1"')]])
def test_without_a_strong_etag_the_rest_is_asked_for_without_if_range(tag: list[tuple[str, str]]) -> None:
    async def main() -> None:
        bench = Bench(whole_ranges=0)
        _half(bench, *tag)
        reply = bench.send()
        assert bench.origin[1].fields[b"range"] == b"bytes=5-"
        assert b"if-range" not in bench.origin[1].fields
        bench.origin[1].head(FRESH, *tag, ("content-range", "bytes 5-9/10"), status=206, length=5)
        bench.origin[2].answer(FRESH, body=b"abcdefghij")
        assert reply.body == b"abcdefghij"
        bench.at_rest()

    run_virtual(main())


@pytest.mark.parametrize("status", [200, 404, 503])
def test_another_answer_to_the_request_for_the_rest_is_used_as_usual(status: int) -> None:
    async def main() -> None:
        bench = Bench(whole_ranges=0)
        _half(bench, ETAG)
        reply = bench.send()
        bench.origin[1].answer(FRESH, body=b"whole", status=status)
        assert (reply.status, reply.body, len(bench.origin)) == (status, b"whole", 2)
        bench.at_rest()

    run_virtual(main())


@pytest.mark.parametrize("how", ["private", "cookie", "lost"])
def test_a_completed_answer_obeys_the_rules_of_all(how: str) -> None:
    async def main() -> None:
        bench = Bench(whole_ranges=0)
        _half(bench, ETAG)
        leader, follower = bench.send(), bench.send()
        place = ("content-range", "bytes 5-9/10")
        said = {"private": ("cache-control", "private"), "cookie": ("set-cookie", "a=b")}.get(how, FRESH)
        fetch = bench.origin[1].head(said, ETAG, place, status=206, length=5)
        if how == "lost":
            await bench.turn()
            fetch.body(b"56").fail()
            assert leader.aborted
            assert follower.aborted
        else:
            fetch.body(b"56789").end()
            assert leader.body == b"0123456789"
            assert not follower.status
            for each in bench.origin.fetches[2:]:
                each.answer(said)
        bench.at_rest()

    run_virtual(main())


def test_no_part_of_another_variant_or_that_was_purged_is_completed() -> None:
    async def main() -> None:
        bench = Bench(whole_ranges=0)
        vary = ("vary", "accept-language")
        asked = {"range": "bytes=0-4", "accept_language": "en"}
        bench.fill(FRESH, ETAG, PART, vary, body=b"01234", status=206, **asked)
        bench.send(accept_language="de")
        assert b"range" not in bench.origin[1].fields
        bench.origin[1].answer(FRESH, vary)
        bench.engine.purge_all()
        bench.send(accept_language="en")
        assert b"range" not in bench.origin[2].fields
        bench.origin[2].answer(FRESH)
        bench.at_rest()

    run_virtual(main())


def test_a_lenient_cache_believes_the_length_of_a_part() -> None:
    async def main() -> None:
        wrong = ("content-range", "bytes 4-9/10")
        strict = Bench(whole_ranges=0)
        strict.fill(FRESH, wrong, body=b"01234", status=206, range="bytes=-5")
        assert strict.store.objects == 0
        bench = Bench(options=CacheOptions(lenient_origin=True), whole_ranges=0)
        bench.fill(FRESH, wrong, body=b"01234", status=206, range="bytes=-5")
        for wanted, body in (("-5", b"01234"), ("6-8", b"234"), ("6-", b"234"), ("-1", b"4")):
            reply = bench.send(range="bytes=" + wanted)
            assert (reply.status, reply.body) == (206, body)
        assert bench.send(range="bytes=4-4").fields[b"content-range"] == b"bytes 4-4/9"
        assert len(bench.origin) == 1
        empty = bench.send("/empty", range="bytes=0-1")
        bench.origin[1].answer(FRESH, ("content-range", "bytes 0-1/2"), body=b"", status=206)
        assert empty.ended
        assert bench.store.objects == 1
        bench.at_rest()
        strict.at_rest()

    run_virtual(main())
