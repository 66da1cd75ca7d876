"""A range of what is on its way: it is answered as the bytes come, and nobody waits for what can be streamed.

A browser asks for `bytes=0-` of each video. It once got its first byte when the last one had come.
"""

from __future__ import annotations

import pytest

from penstock.rules.range_reach import LOOK_SECONDS, NEAR, PATIENCE_SECONDS
from penstock.testing import run_virtual

from .fakes import FRESH, PRIVATE, Bench

ETAG = ("etag", '"1"')
STALE = ("cache-control", "max-age=1")
BODY = b"0123456789"
FORMS = [
    # What is asked for; the answer where the length is known, and how much of its body is there after five bytes.
    ({"range": "bytes=0-"}, 206, b"bytes 0-9/10", b"01234", BODY),
    ({"range": "bytes=0-2"}, 206, b"bytes 0-2/10", b"012", b"012"),
    ({"range": "bytes=2-6"}, 206, b"bytes 2-6/10", b"234", b"23456"),
    ({"range": "bytes=5-9"}, 206, b"bytes 5-9/10", b"", b"56789"),
    ({"range": "bytes=8-400"}, 206, b"bytes 8-9/10", b"", b"89"),
    ({"range": "bytes=-3"}, 206, b"bytes 7-9/10", b"", b"789"),
    ({"range": "bytes=-500"}, 206, b"bytes 0-9/10", b"01234", BODY),
    ({"range": "bytes=10-"}, 416, b"bytes */10", b"", b""),
    ({"range": "bytes=-0"}, 416, b"bytes */10", b"", b""),
    ({"range": "bytes=0-1,4-5"}, 200, None, b"01234", BODY),
    ({"range": "bytes=5-2"}, 200, None, b"01234", BODY),
    ({"range": "lines=1-2"}, 200, None, b"01234", BODY),
    ({"range": "bytes=4-", "if_range": '"1"'}, 206, b"bytes 4-9/10", b"4", b"456789"),
    ({"range": "bytes=4-", "if_range": '"2"'}, 200, None, b"01234", BODY),
    ({"range": "bytes=4-", "if_none_match": '"1"'}, 304, None, b"", b""),
]


@pytest.mark.parametrize("known", [True, False], ids=["length", "chunked"])
@pytest.mark.parametrize("who", ["leader", "joins before", "joins within"])
@pytest.mark.parametrize(("asked", "status", "place", "early", "all_of_it"), FORMS)
def test_every_form_is_answered_as_the_bytes_come(
    asked: dict[str, str], status: int, place: bytes | None, early: bytes, all_of_it: bytes, who: str, *, known: bool
) -> None:
    """The head at once, and each byte when it is there; 206 and 416 need the length, and without it the whole goes."""

    async def main() -> None:
        bench = Bench()
        bench.fill(STALE, ("etag", '"0"'))
        await bench.wait(2)
        plain = None if who == "leader" else bench.send()
        reply = bench.send(**asked) if who != "joins within" else None
        fetch = bench.origin[1].head(FRESH, ETAG, length=10 if known else None)
        await bench.turn()
        fetch.body(b"01", b"234")
        reply = reply or bench.send(**asked)
        whole = status == 200 or (status != 304 and not known)
        assert reply.status == (200 if whole else status)
        assert reply.fields.get(b"content-range") == (None if whole else place)
        assert reply.body == (b"01234" if whole else early)
        fetch.body(b"567", b"89").end()
        assert reply.ended
        assert reply.body == (BODY if whole else all_of_it)
        assert plain is None or (plain.status, plain.body, plain.ended) == (200, BODY, True)
        assert (len(bench.origin), bench.send().body) == (2, BODY), "the rest was read for the store"
        bench.at_rest()

    run_virtual(main())


def test_who_has_its_last_byte_is_done_before_the_rest_comes() -> None:
    async def main() -> None:
        bench = Bench()
        bench.fill(STALE, ETAG)
        await bench.wait(2)
        reply = bench.send(range="bytes=1-2")
        fetch = bench.origin[1].head(FRESH, length=10)
        await bench.turn()
        fetch.body(b"01234")
        assert (reply.body, reply.ended) == (b"12", True)
        assert fetch.open, "what is kept goes on without anybody"
        fetch.body(b"56789").end()
        assert bench.send().body == BODY
        bench.at_rest()

    run_virtual(main())


def test_a_slow_client_gets_its_part_when_it_takes_it() -> None:
    async def main() -> None:
        bench = Bench()
        bench.fill(STALE, ETAG)
        await bench.wait(2)
        reply = bench.send(range="bytes=1-7")
        fetch = bench.origin[1].head(FRESH, length=10)
        await bench.turn()
        reply.slow()
        fetch.body(b"0123", b"456", b"789").end()
        assert not reply.body
        reply.fast()
        assert (reply.body, reply.ended) == (b"1234567", True)
        bench.at_rest()

    run_virtual(main())


def test_an_answer_that_breaks_off_breaks_its_parts_off() -> None:
    async def main() -> None:
        bench = Bench()
        bench.fill(STALE, ETAG)
        await bench.wait(2)
        first, done = bench.send(range="bytes=1-7"), bench.send(range="bytes=0-1")
        fetch = bench.origin[1].head(FRESH, length=10)
        await bench.turn()
        fetch.body(b"0123").fail()
        assert (first.body, first.aborted) == (b"123", True)
        assert (done.body, done.ended, done.aborted) == (b"01", True, False)
        bench.at_rest()

    run_virtual(main())


FAR = 40 * NEAR


@pytest.mark.parametrize("who", ["leader", "joins"])
@pytest.mark.parametrize("speed", ["fast", "slow", "silent"])
def test_a_range_far_behind_what_has_come_is_waited_for_only_where_it_is_near_in_time(who: str, speed: str) -> None:
    """A client that asks for the tail of a large file must not be sent nothing for minutes: the app may have it."""

    async def main() -> None:
        bench = Bench(memory=1 << 28, max_object=1 << 26)
        bench.fill(STALE, ("etag", '"0"'))
        await bench.wait(2)
        plain = bench.send() if who == "joins" else None
        reply = bench.send(range=f"bytes={FAR}-{FAR + 4}")
        fetch = bench.origin[1].head(FRESH, ETAG, length=FAR + 10)
        await bench.turn()
        piece = {"fast": NEAR, "slow": 4096, "silent": 0}[speed]
        fetch.body(b"x" * piece) if piece else None
        assert reply.status == 0, "nobody can tell yet"
        await bench.wait(LOOK_SECONDS + 0.01)
        if speed == "fast":
            assert (reply.status, len(bench.origin)) == (206, 2)
            assert reply.fields[b"content-range"] == b"bytes %d-%d/%d" % (FAR, FAR + 4, FAR + 10)
        else:
            assert len(bench.origin) == 3
            assert bench.origin[2].fields[b"range"] == b"bytes=%d-%d" % (FAR, FAR + 4)
            place = ("content-range", f"bytes {FAR}-{FAR + 4}/{FAR + 10}")
            bench.origin[2].answer(FRESH, ETAG, place, status=206, body=b"abcde")
            assert (reply.status, reply.body) == (206, b"abcde")
        fetch.body(b"x" * (FAR - piece), b"abcde", b"fghij").end()
        assert (reply.body, reply.ended) == (b"abcde", True)
        assert plain is None or plain.ended
        bench.at_rest()

    run_virtual(main())


def test_who_comes_when_the_pace_is_known_is_answered_at_once() -> None:
    async def main() -> None:
        bench = Bench(memory=1 << 28, max_object=1 << 26)
        bench.fill(STALE, ("etag", '"0"'))
        await bench.wait(2)
        bench.send()
        fetch = bench.origin[1].head(FRESH, ETAG, length=FAR + 10)
        await bench.turn()
        fetch.body(b"x" * NEAR)
        await bench.wait(1)
        near_in_time = int(NEAR * PATIENCE_SECONDS / 1.1)
        assert bench.send(range=f"bytes={near_in_time}-").status == 206
        assert bench.send(range=f"bytes={FAR}-").status == 0
        assert len(bench.origin) == 3
        bench.origin[2].answer(FRESH, ETAG, status=404)
        fetch.fail()
        bench.at_rest()

    run_virtual(main())


def test_an_app_that_has_no_ranges_is_not_asked_for_one() -> None:
    """It says so (RFC 9110, 14.3), so there is only the whole."""

    async def main() -> None:
        bench = Bench(memory=1 << 28, max_object=1 << 26)
        bench.fill(STALE, ("etag", '"0"'))
        await bench.wait(2)
        reply = bench.send(range=f"bytes={FAR}-")
        bench.origin[1].head(FRESH, ("accept-ranges", "none"), length=FAR + 10)
        await bench.turn()
        assert (reply.status, len(bench.origin)) == (200, 2)
        bench.origin[1].fail()
        bench.at_rest()

    run_virtual(main())


def test_what_is_not_kept_does_not_make_a_range_wait() -> None:
    """A large answer to who revalidates: a part near its beginning is cut out, for one far behind the app is asked."""

    async def main() -> None:
        for first, asked_again in ((0, False), (NEAR, False), (NEAR + 1, True)):
            bench = Bench()
            bench.fill(STALE, ETAG)
            await bench.wait(2)
            reply = bench.send(range=f"bytes={first}-{first + 3}")
            assert b"range" not in bench.origin[1].fields
            fetch = bench.origin[1].head(PRIVATE, length=2 * NEAR)
            await bench.turn()
            assert reply.status == (0 if asked_again else 206)
            if asked_again:
                assert fetch.cancelled
                assert bench.origin[2].fields[b"range"] == b"bytes=%d-%d" % (first, first + 3)
                bench.origin[2].answer(PRIVATE, status=404)
            else:
                fetch.body(b"x" * NEAR, b"y" * 8)
                assert reply.ended
                assert fetch.cancelled, "nobody wants the rest"
            bench.at_rest()

    run_virtual(main())


def test_one_who_went_for_its_range_by_itself_is_not_sent_round_again() -> None:
    """What it is answered then goes to it, whatever it is."""

    async def main() -> None:
        bench = Bench(memory=1 << 28, max_object=1 << 26)
        bench.fill(STALE, ("etag", '"0"'))
        await bench.wait(2)
        reply = bench.send(range=f"bytes={FAR}-")
        bench.origin[1].head(FRESH, ETAG, length=FAR + 10)
        await bench.wait(1)
        bench.origin[2].head(FRESH, ETAG, length=FAR + 10)
        await bench.turn()
        assert (reply.status, len(bench.origin)) == (200, 3)
        bench.origin[1].fail()
        bench.origin[2].fail()
        bench.at_rest()

    run_virtual(main())
