"""Ranges of which nothing is stored: one request to the origin for all, as long as the whole is not too long."""

from __future__ import annotations

import pytest

from penstock.rules.range_reach import NEAR
from penstock.testing import run_virtual

from .fakes import FRESH, PRIVATE, Bench, RecordingReply

ETAG = ("etag", '"1"')
BODY = bytes(range(200))


def test_twenty_ranges_of_one_object_are_one_request() -> None:
    async def main() -> None:
        bench = Bench()
        replies = [bench.send(range=f"bytes={n * 10}-{n * 10 + 9}") for n in range(20)]
        replies += [bench.send(range="bytes=-5"), bench.send()]
        assert len(bench.origin) == 1
        assert b"range" not in bench.origin[0].fields
        bench.origin[0].answer(FRESH, ETAG, body=BODY)
        for n, reply in enumerate(replies[:20]):
            assert (reply.status, reply.body) == (206, BODY[n * 10 : n * 10 + 10])
            assert reply.fields[b"content-range"] == b"bytes %d-%d/200" % (n * 10, n * 10 + 9)
        assert [(r.status, r.body) for r in replies[20:]] == [(206, BODY[-5:]), (200, BODY)]
        assert bench.send(range="bytes=3-4").body == BODY[3:5]
        assert len(bench.origin) == 1
        bench.at_rest()

    run_virtual(main())


@pytest.mark.parametrize(
    ("asked", "whole"),
    [
        ({"range": "bytes=0-"}, True),
        ({"range": "bytes=5-9"}, True),
        ({"range": "bytes=5-9", "if_range": '"1"'}, True),
        ({"range": "bytes=5-9", "if_none_match": '"1"'}, True),
        ({"range": "bytes=900-"}, True),
        ({"range": "bytes=-5"}, False),
        ({"range": "bytes=0-1,4-5"}, False),
        ({"range": "bytes=-"}, False),
        ({"range": "lines=1-2"}, False),
        ({"range": "bytes=0-1", "method": "HEAD"}, False),
    ],
)
def test_which_ranges_go_for_the_whole(asked: dict[str, str], *, whole: bool) -> None:
    """Where a suffix begins nobody knows: its client must not wait for all that comes before."""

    async def main() -> None:
        for options, expected in (({}, whole), ({"whole_ranges": 0}, False)):
            bench = Bench(**options)  # type: ignore[arg-type]
            bench.send(**asked)
            sent = bench.origin[0].fields
            assert (b"range" in sent) is not expected
            assert (b"if-range" in sent) is ("if_range" in asked and not expected)
            bench.origin[0].answer(FRESH, ETAG)
            bench.at_rest()

    run_virtual(main())


@pytest.mark.parametrize("known", [True, False], ids=["length", "chunked"])
@pytest.mark.parametrize("said", [FRESH, PRIVATE, ("cache-control", "no-cache"), ("set-cookie", "a=b")])
def test_who_asked_gets_its_range_at_once_whatever_the_whole_is(said: tuple[str, str], *, known: bool) -> None:
    """A 206 cut out of it as it comes; and where it is for nobody else, no more is read than that."""

    async def main() -> None:
        bench = Bench()
        reply, other = bench.send(range="bytes=2-4"), bench.send(range="bytes=6-7")
        fetch = bench.origin[0].head(said, ETAG, length=10 if known else None)
        await bench.turn()
        fetch.body(b"0123", b"456")
        expected = (206, b"234") if known else (200, b"0123456")
        assert (reply.status, reply.body, reply.ended) == (*expected, known)
        shared = said is FRESH
        assert fetch.cancelled is (known and not shared and said[1] != "no-cache")
        assert len(bench.origin) == (1 if shared else 2)
        if not shared:
            assert bench.origin[1].fields[b"range"] == b"bytes=6-7", "as it would have been before"
            bench.origin[1].answer(said, ("content-range", "bytes 6-7/10"), status=206, body=b"67")
        fetch.body(b"789").end()
        assert reply.ended
        assert (other.status, other.body) in ((206, b"67"), (200, b"0123456789"))
        bench.at_rest()

    run_virtual(main())


def _whole(bench: Bench, reply: RecordingReply, number: int, length: int) -> None:
    """The origin begins with its answer."""
    assert b"range" not in bench.origin[number].fields
    bench.origin[number].head(FRESH, ETAG, length=length)
    assert reply is not None


@pytest.mark.parametrize("bound", [{"max_object": 1_000_000}, {"whole_ranges": 1_000_000}], ids=["max", "option"])
def test_of_what_is_too_long_ranges_go_as_they_are_from_the_second_on(bound: dict[str, int]) -> None:
    """The first costs a request that is called off; after that it is as if there were no such thing."""

    async def main() -> None:
        bench = Bench(uncacheable_ttl=60.0, **bound)  # type: ignore[arg-type]
        far = f"bytes={2 * NEAR}-{2 * NEAR + 3}"
        first, equal, other = bench.send(range=far), bench.send(range=far), bench.send(range="bytes=8-9")
        _whole(bench, first, 0, 2_000_000)
        await bench.turn()
        assert bench.origin[0].cancelled
        asked = sorted(fetch.fields[b"range"].decode() for fetch in bench.origin.fetches[1:])
        assert asked == sorted([far, far, "bytes=8-9"])
        for fetch in bench.origin.fetches[1:]:
            wanted = fetch.fields[b"range"].decode().removeprefix("bytes=")
            size = 4 if wanted in far else 2
            fetch.answer(FRESH, ETAG, ("content-range", f"bytes {wanted}/2000000"), status=206, body=b"abcd"[:size])
        assert [(r.status, r.body) for r in (first, equal, other)] == [(206, b"abcd")] * 2 + [(206, b"ab")]
        for at in (500, 502, 504):
            await bench.wait(50)
            before, place = len(bench.origin), f"bytes {at}-{at + 1}/2000000"
            late = [bench.send(range=f"bytes={at}-{at + 1}") for _ in range(2)]
            assert len(bench.origin) == before + 1, "equal ranges still share"
            assert bench.origin[-1].fields[b"range"] == b"bytes=%d-%d" % (at, at + 1)
            bench.origin[-1].answer(FRESH, ("content-range", place), status=206, body=b"ab")
            assert [r.body for r in late] == [b"ab"] * 2
        await bench.wait(61)
        bench.send(range="bytes=700-701")
        assert b"range" not in bench.origin[-1].fields, "it may have become shorter"
        bench.origin[-1].answer(FRESH, body=BODY)
        bench.at_rest()

    run_virtual(main())


def test_the_beginning_of_what_is_too_long_is_cut_out_and_the_rest_is_not_read() -> None:
    """As browsers ask first for a video."""

    async def main() -> None:
        bench = Bench(max_object=1_000_000)
        probe, all_of_it = bench.send(range="bytes=0-1"), bench.send()
        _whole(bench, probe, 0, 2_000_000)
        await bench.turn()
        bench.origin[0].body(b"x" * 1000)
        assert (probe.status, probe.body, probe.ended) == (206, b"xx", True)
        assert probe.fields[b"content-range"] == b"bytes 0-1/2000000"
        assert bench.origin[0].cancelled
        assert b"range" not in bench.origin[1].fields
        bench.origin[1].head(FRESH, length=4).body(b"0123").end()
        assert all_of_it.body == b"0123"
        bench.at_rest()

    run_virtual(main())


def test_a_range_that_joined_a_whole_for_another_goes_by_itself_when_that_is_too_long() -> None:
    async def main() -> None:
        bench = Bench(max_object=1_000_000)
        plain, ranged = bench.send(), bench.send(range="bytes=8-9")
        assert len(bench.origin) == 1
        bench.origin[0].head(FRESH, length=2_000_000)
        assert bench.origin[1].fields[b"range"] == b"bytes=8-9"
        bench.origin[1].answer(FRESH, ("content-range", "bytes 8-9/2000000"), status=206, body=b"ab")
        assert (ranged.status, ranged.body) == (206, b"ab")
        assert bench.send(range="bytes=100-101").status == 0
        assert bench.origin[2].fields[b"range"] == b"bytes=100-101", "it is known now"
        bench.origin[2].answer(FRESH, status=404)
        plain.leave()
        bench.at_rest()

    run_virtual(main())


@pytest.mark.parametrize("how", ["url", "all"])
def test_a_purge_forgets_that_it_was_too_long(how: str) -> None:
    async def main() -> None:
        bench = Bench(max_object=1_000_000)
        reply = bench.send(range="bytes=0-1")
        bench.origin[0].head(FRESH, length=2_000_000)
        await bench.turn()
        bench.origin[0].body(b"01")
        assert (reply.ended, len(bench.engine.cold_ranges)) == (True, 1)
        bench.engine.forget_url(b"http://shop.example/") if how == "url" else bench.engine.purge_all()
        bench.send(range="bytes=5-6")
        assert b"range" not in bench.origin[1].fields
        bench.origin[1].answer(FRESH, body=BODY)
        bench.at_rest()

    run_virtual(main())


def test_an_uncacheable_whole_is_remembered_and_ranges_go_as_they_are() -> None:
    async def main() -> None:
        bench = Bench()
        bench.send(range="bytes=2-4")
        bench.origin[0].answer(PRIVATE, body=BODY)
        bench.send(range="bytes=2-4")
        assert bench.origin[1].fields[b"range"] == b"bytes=2-4"
        bench.origin[1].answer(PRIVATE, status=404)
        bench.at_rest()

    run_virtual(main())


@pytest.mark.parametrize(("status", "stored"), [(404, True), (500, True), (416, False)])
def test_an_error_was_not_provoked_by_a_range_that_was_not_sent(status: int, *, stored: bool) -> None:
    async def main() -> None:
        bench = Bench()
        replies = [bench.send(range="bytes=2-4"), bench.send(range="bytes=5-6")]
        bench.origin[0].answer(FRESH, body=b"sorry", status=status)
        if not stored:
            bench.origin[1].answer(FRESH, body=b"sorry", status=status)
        assert [(r.status, r.body) for r in replies] == [(status, b"sorry")] * 2
        assert bench.store.objects == int(stored)
        bench.at_rest()

    run_virtual(main())


def test_an_answer_that_varies_by_range_ends() -> None:
    """It was asked for without one: nobody may go round for it for ever."""

    async def main() -> None:
        bench = Bench()
        one, other = bench.send(range="bytes=2-4"), bench.send(range="bytes=5-6")
        for number in range(2):
            bench.origin[number].answer(FRESH, ("vary", "range"), body=BODY)
        assert (one.body, other.body) == (BODY[2:5], BODY[5:7])
        assert len(bench.origin) == 2
        bench.at_rest()

    run_virtual(main())


def test_a_part_that_nobody_asked_the_origin_for_goes_to_the_first_and_is_not_kept() -> None:
    async def main() -> None:
        bench = Bench()
        one, other = bench.send(range="bytes=2-4"), bench.send(range="bytes=5-6")
        bench.origin[0].answer(FRESH, ("content-range", "bytes 2-4/10"), status=206, body=b"234")
        assert (one.status, one.body) == (206, b"234")
        assert bench.origin[1].fields[b"range"] == b"bytes=5-6"
        bench.origin[1].answer(FRESH, ("content-range", "bytes 5-6/10"), status=206, body=b"56")
        assert (other.status, other.body) == (206, b"56")
        bench.at_rest()

    run_virtual(main())
