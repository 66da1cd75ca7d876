"""Many clients, one request to the origin: who gets what, at whose pace, and who may leave."""

from __future__ import annotations

import pytest

from penstock.errors import AttemptTimeout, ConnectionLost, ConnectTimeout, ProtocolError
from penstock.inbound.cache.flight import WINDOW
from penstock.testing import run_virtual

from .fakes import FRESH, PRIVATE, Bench, RecordingReply

KEY = b"http://shop.example/"


def test_one_request_however_many_wait() -> None:
    async def main() -> None:
        bench = Bench()
        replies = [bench.send() for _ in range(100)]
        assert len(bench.origin) == 1
        bench.origin[0].answer(FRESH, body=b"shared")
        assert [(r.status, r.body, r.ended) for r in replies] == [(200, b"shared", True)] * 100
        assert sum(b"collapsed" in r.cache_status for r in replies) == 99
        assert bench.send().body == b"shared"
        assert len(bench.origin) == 1
        bench.at_rest()

    run_virtual(main())


def test_the_body_streams_to_all_and_to_who_comes_later() -> None:
    async def main() -> None:
        bench = Bench()
        first, second = bench.send(), bench.send()
        fetch = bench.origin[0].head(FRESH).body(b"one ")
        await bench.turn()
        assert first.body == second.body == b"one "
        late = bench.send()
        assert late.body == b"one "
        fetch.body(b"two")
        assert first.body == second.body == late.body == b"one two"
        assert not late.ended
        fetch.end()
        assert first.ended
        assert second.ended
        assert late.ended
        assert bench.send().body == b"one two"
        assert len(bench.origin) == 1
        bench.at_rest()

    run_virtual(main())


@pytest.mark.parametrize("when", ["before the head", "after the head", "within the body"])
def test_a_leader_that_leaves_harms_nobody(when: str) -> None:
    async def main() -> None:
        bench = Bench()
        leader, follower = bench.send(), bench.send()
        fetch = bench.origin[0]
        if when == "before the head":
            leader.leave()
        fetch.head(FRESH)
        await bench.turn()
        if when == "after the head":
            leader.leave()
        fetch.body(b"a")
        if when == "within the body":
            leader.leave()
        fetch.body(b"b").end()
        assert fetch.open is False
        assert not fetch.cancelled
        assert follower.ended
        assert follower.body == b"ab"
        assert bench.send().body == b"ab"
        bench.at_rest()

    run_virtual(main())


def test_a_leader_that_leaves_before_a_private_head_releases_the_others() -> None:
    async def main() -> None:
        bench = Bench()
        leader, *followers = [bench.send() for _ in range(4)]
        leader.leave()
        bench.origin[0].head(PRIVATE)
        assert bench.origin[0].cancelled
        assert len(bench.origin) == 4
        for number, fetch in enumerate(bench.origin.fetches[1:]):
            fetch.answer(PRIVATE, body=b"for %d" % number)
        assert [r.body for r in followers] == [b"for 0", b"for 1", b"for 2"]
        bench.at_rest()

    run_virtual(main())


def test_when_all_leave_the_answer_is_stored_all_the_same() -> None:
    async def main() -> None:
        bench = Bench()
        for reply in [bench.send(), bench.send()]:
            reply.leave()
        fetch = bench.origin[0]
        assert not fetch.cancelled
        fetch.answer(FRESH)
        assert bench.send().body == b"body"
        bench.at_rest()

    run_virtual(main())


@pytest.mark.parametrize("fields", [{"authorization": "x"}, {}], ids=["private", "no-store"])
def test_who_leaves_an_answer_of_its_own_ends_it(fields: dict[str, str]) -> None:
    async def main() -> None:
        bench = Bench()
        reply = bench.send(**fields)
        fetch = bench.origin[0].head(("cache-control", "no-store"), length=None).body(b"a")
        await bench.turn()
        assert reply.body == b"a"
        reply.leave()
        assert fetch.cancelled
        bench.at_rest()

    run_virtual(main())


def test_what_is_private_releases_everybody_at_once_and_is_remembered() -> None:
    async def main() -> None:
        bench = Bench()
        replies = [bench.send(x_user=str(n)) for n in range(50)]
        bench.origin[0].head(PRIVATE, length=1)
        assert len(bench.origin) == 50, "in parallel"
        for fetch in bench.origin.fetches[1:]:
            fetch.head(PRIVATE, length=1)
        for fetch in bench.origin.fetches:
            fetch.body(fetch.request.fields[b"x-user"]).end()
        assert [r.body for r in replies] == [str(n).encode() for n in range(50)]
        assert len([bench.send(), bench.send()]) == 2
        assert len(bench.origin) == 52, "hit-for-miss"
        await bench.wait(121)
        bench.send(), bench.send()
        assert len(bench.origin) == 53, "forgotten after its time"
        for fetch in bench.origin.fetches:
            fetch.answer(FRESH)
        bench.at_rest()

    run_virtual(main())


def test_hit_for_miss_is_per_kind_of_user() -> None:
    async def main() -> None:
        bench = Bench()
        bench.fill(PRIVATE, cookie="u=1")
        bench.send(cookie="u=2"), bench.send(cookie="u=3")
        assert len(bench.origin) == 3
        bench.send(), bench.send()
        assert len(bench.origin) == 4, "strangers still wait for each other"
        for fetch in bench.origin.fetches:
            fetch.answer(("cache-control", "public, max-age=9"))
        bench.at_rest()

    run_virtual(main())


def test_what_can_be_stored_after_all_ends_hit_for_miss() -> None:
    async def main() -> None:
        bench = Bench()
        bench.fill(PRIVATE)
        bench.fill(("cache-control", "max-age=1"))
        await bench.wait(2)
        bench.send(), bench.send()
        assert len(bench.origin) == 3
        bench.origin[2].answer(FRESH)
        bench.at_rest()

    run_virtual(main())


def test_followers_of_another_variant_get_their_own() -> None:
    async def main() -> None:
        bench = Bench()
        english = [bench.send(accept_language="en") for _ in range(3)]
        german = [bench.send(accept_language="de") for _ in range(3)]
        assert len(bench.origin) == 1
        bench.origin[0].head(FRESH, ("vary", "accept-language"))
        assert len(bench.origin) == 2, "the Germans wait for one of them"
        later = bench.send(accept_language="en")
        assert len(bench.origin) == 2, "and who comes now joins the right ones"
        bench.origin[1].answer(FRESH, ("vary", "accept-language"), body=b"hallo")
        bench.origin[0].body(b"hello").end()
        assert [r.body for r in [*english, later]] == [b"hello"] * 4
        assert [r.body for r in german] == [b"hallo"] * 3
        bench.at_rest()

    run_virtual(main())


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ConnectionLost("x"), 502),
        (ProtocolError("not HTTP"), 502),
        (AttemptTimeout("x"), 504),
        (ConnectTimeout("x"), 504),
    ],
)
def test_a_failure_before_the_head_is_told_to_all(error: Exception, status: int) -> None:
    async def main() -> None:
        bench = Bench()
        replies = [bench.send() for _ in range(3)]
        bench.origin[0].fail(error)  # type: ignore[arg-type]
        assert [(r.status, r.ended) for r in replies] == [(status, True)] * 3
        assert bench.store.objects == 0
        assert bench.send().status == 0
        assert len(bench.origin) == 2
        bench.origin[1].answer(FRESH)
        bench.at_rest()

    run_virtual(main())


def test_an_origin_that_dies_in_the_body_breaks_all_off_and_nothing_is_stored() -> None:
    async def main() -> None:
        bench = Bench()
        first, second = bench.send(), bench.send()
        fetch = bench.origin[0].head(FRESH, length=10).body(b"half")
        await bench.turn()
        ranged, done = bench.send(range="bytes=2-5"), bench.send(range="bytes=0-1")
        fetch.fail()
        assert first.aborted
        assert second.aborted
        assert not first.ended
        assert (ranged.status, ranged.body, ranged.aborted) == (206, b"lf", True)
        assert (done.status, done.body, done.ended) == (206, b"ha", True)
        assert bench.store.objects == 0
        for each in bench.origin.fetches:
            each.answer(FRESH)
        bench.at_rest()

    run_virtual(main())


def test_who_asks_again_while_a_flight_breaks_off_does_not_join_it() -> None:
    """A client may send its next request from within `abort`: it must not wait for an answer that has just failed."""

    async def main() -> None:
        bench = Bench()
        first = bench.send()
        fetch = bench.origin[0].head(FRESH).body(b"some")
        await bench.turn()
        again: list[RecordingReply] = []
        aborted = first.abort
        first.abort = lambda: (aborted(), again.append(bench.send()))  # type: ignore[method-assign,assignment,func-returns-value]
        fetch.fail(ConnectionLost("gone"))
        assert len(bench.origin) == 2
        bench.origin[1].answer(FRESH, body=b"whole")
        assert [(reply.status, reply.body, reply.ended) for reply in again] == [(200, b"whole", True)]
        bench.at_rest()

    run_virtual(main())


def test_a_slow_client_slows_nobody_while_the_body_is_kept() -> None:
    async def main() -> None:
        bench = Bench()
        slow, fast = bench.send(), bench.send()
        fetch = bench.origin[0].head(FRESH)
        await bench.turn()
        slow.slow()
        for _ in range(20):
            fetch.body(b"x" * 65_536)
        assert len(fast.body) == 20 * 65_536
        assert slow.body == b""
        assert fetch.log == []
        fetch.end()
        assert fast.ended
        assert not slow.ended
        assert len(bench.send().body) == 20 * 65_536
        slow.fast()
        assert slow.ended
        assert slow.body == fast.body
        bench.at_rest()

    run_virtual(main())


def test_a_slow_client_of_a_passed_body_makes_the_origin_wait() -> None:
    async def main() -> None:
        bench = Bench()
        reply = bench.send()
        fetch = bench.origin[0].head(PRIVATE)
        await bench.turn()
        reply.slow()
        while not fetch.paused:
            fetch.body(b"x" * 32_768)
        assert len(fetch.receiver.body()) <= WINDOW + 32_768  # type: ignore[attr-defined]
        reply.fast()
        assert fetch.log == ["pause", "resume"]
        fetch.end()
        assert reply.ended
        bench.at_rest()

    run_virtual(main())


@pytest.mark.parametrize("streaming", [True, False], ids=["streaming", "in one turn"])
def test_what_grows_too_large_streams_on_and_is_not_stored(streaming: bool) -> None:
    async def main() -> None:
        bench = Bench(max_object=300_000)
        slow, fast = bench.send(), bench.send()
        fetch = bench.origin[0].head(FRESH)
        if streaming:
            await bench.turn()
        slow.slow()
        sent = 0
        while not fetch.paused and sent < 100:
            fetch.body(b"x" * 32_768)
            await bench.turn()
            sent += 1
        assert fetch.paused, "the slow one holds it up now, since nobody keeps the body"
        late = bench.send()
        assert len(bench.origin) == 2, "it cannot be joined any more"
        slow.fast()
        assert not fetch.paused
        fetch.end()
        assert slow.ended
        assert fast.ended
        assert len(slow.body) == len(fast.body) == sent * 32_768
        assert bench.store.objects == 0
        bench.origin[1].answer(FRESH)
        assert late.body == b"body"
        bench.at_rest()

    run_virtual(main())


def test_a_body_that_is_too_large_by_its_length_is_passed() -> None:
    async def main() -> None:
        bench = Bench(max_object=1000)
        first, second = bench.send(), bench.send()
        bench.origin[0].head(FRESH, length=5000)
        assert len(bench.origin) == 2
        for fetch in bench.origin.fetches:
            fetch.head(FRESH, length=5000) if fetch is not bench.origin[0] else None
            fetch.body(b"x" * 5000).end()
        assert first.ended
        assert second.ended
        assert bench.store.objects == 0
        bench.at_rest()

    run_virtual(main())


@pytest.mark.parametrize("streaming", [True, False])
def test_a_range_of_a_body_that_grows_too_large_gets_what_comes(streaming: bool) -> None:
    """Nobody keeps the beginning of it any more, and the origin must not wait for who wants a part."""

    async def main() -> None:
        bench = Bench(max_object=300_000)
        bench.fill(("cache-control", "max-age=1"), ("etag", '"1"'))
        await bench.wait(2)
        first = bench.send()
        before = bench.send(range="bytes=0-9")
        fetch = bench.origin[1].head(FRESH)
        await (bench.turn() if streaming else bench.wait(0))
        ranged = bench.send(range="bytes=0-9")
        for _ in range(30):
            fetch.body(b"x" * 32_768)
            await bench.turn()
        assert not fetch.paused
        fetch.end()
        assert len(bench.origin) == 2
        assert [(r.status, len(r.body), r.ended) for r in (first, before, ranged)] == [(200, 983_040, True)] * 3
        bench.at_rest()

    run_virtual(main())


def test_events_pass_as_they_come() -> None:
    async def main() -> None:
        bench = Bench()
        first, second = bench.send(), bench.send()
        for _ in range(2):
            bench.origin[-1].head(FRESH, ("content-type", "text/event-stream; charset=utf-8"))
        assert len(bench.origin) == 2
        await bench.turn()
        for number, reply in enumerate([first, second]):
            bench.origin[number].body(b"data: 1\n\n")
            assert reply.body == b"data: 1\n\n"
            assert not reply.ended
            reply.leave()
            assert bench.origin[number].cancelled
        assert bench.store.objects == 0
        bench.at_rest()

    run_virtual(main())


def test_interim_answers_are_for_the_first_client_only() -> None:
    async def main() -> None:
        bench = Bench()
        first, second = bench.send(), bench.send()
        bench.origin[0].interim(("link", "</a.css>; rel=preload"))
        first.leave()
        bench.origin[0].interim(("link", "</b.css>; rel=preload"))
        assert (first.interims, second.interims) == ([103], [])
        bench.origin[0].answer(FRESH)
        bench.at_rest()

    run_virtual(main())


def test_an_origin_waits_once_and_goes_on_at_half_the_window() -> None:
    """Pausing again and again, or going on with the window nearly full, would be a system call for each chunk."""

    async def main() -> None:
        bench = Bench()
        reply = bench.send()
        fetch = bench.origin[0].head(PRIVATE)
        await bench.turn()
        for _ in range(2):
            fetch.log.clear()
            reply.slow()
            eighth = WINDOW // 8
            fetch.body(*[b"x" * eighth] * 8)
            assert fetch.log == []
            fetch.body(b"x" * eighth, b"x" * eighth)
            assert fetch.log == ["pause"]
            take(reply, 5)
            assert fetch.log == ["pause"], "five of eight are left"
            take(reply, 1)
            assert fetch.log == ["pause", "resume"]
            reply.fast()
        assert bench.engine.flights.held == 0, "what is not kept takes no room of what is"
        fetch.end()
        assert len(reply.body) == 20 * (WINDOW // 8)
        bench.at_rest()

    run_virtual(main())


def take(reply: RecordingReply, chunks: int) -> None:
    """The client takes so many, and then no more."""
    most = len(reply.chunks) + chunks
    write = reply.write

    def counted(chunk: bytes) -> None:
        write(chunk)
        reply.paused = len(reply.chunks) >= most

    reply.write = counted  # type: ignore[method-assign]
    reply.fast()
    reply.write = write  # type: ignore[method-assign]


def test_when_the_slowest_leaves_the_origin_goes_on_for_the_others() -> None:
    async def main() -> None:
        bench = Bench(max_object=WINDOW)
        slow, fast = bench.send(), bench.send()
        fetch = bench.origin[0].head(FRESH)
        await bench.turn()
        slow.slow()
        fetch.body(*[b"x" * 65_536] * 6)
        assert fetch.log == ["pause"]
        slow.leave()
        assert fetch.log == ["pause", "resume"]
        assert fetch.receiver.chunks == []  # type: ignore[attr-defined]
        fetch.body(b"y", b"z").end()
        assert fast.ended
        assert fast.body == b"x" * 6 * 65_536 + b"yz"
        bench.at_rest()

    run_virtual(main())


@pytest.mark.parametrize("streaming", [True, False])
def test_what_all_have_left_after_the_head_is_stored_all_the_same(streaming: bool) -> None:
    async def main() -> None:
        bench = Bench()
        replies = [bench.send(), bench.send()]
        fetch = bench.origin[0].head(FRESH)
        if streaming:
            await bench.turn()
        fetch.body(b"one ")
        for reply in replies:
            reply.leave()
        assert not fetch.cancelled
        fetch.body(b"two").end()
        assert bench.send().body == b"one two"
        bench.at_rest()

    run_virtual(main())
