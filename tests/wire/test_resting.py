"""Who may use a connection whose answer has just ended, without a socket."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from penstock.messages import Request
from penstock.testing import run_virtual
from penstock.wire.connection import Connection
from penstock.wire.pool import OriginPool
from penstock.wire.prepared import PreparedRequest
from penstock.wire.request_bytes import RequestEncoder

from .test_pool import ORIGIN, Opener, held

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
REQUEST = Request("POST", "http://peer/")


def new_pool(limit: int | None = None, *, keep_alive: bool = True, **tell: Any) -> tuple[OriginPool, Opener]:
    """A pool whose origin has shown nothing so far."""
    opener = Opener()
    encoder = RequestEncoder(ORIGIN, "gzip", keep_alive=keep_alive)
    pool = OriginPool(encoder, opener, max_connections=limit, idle_timeout=15.0, keep_alive=keep_alive, **tell)
    return pool, opener


def exchange(connection: Connection) -> None:
    """A request, and its answer."""
    connection.exchange(b"x", REQUEST)
    connection.data_received(ANSWER)


async def used(pool: OriginPool, times: int = 1) -> Connection:
    """A connection that has just ended the last of so many exchanges."""
    for _ in range(times):
        connection = await pool.acquire()
        exchange(connection)
    return connection


def now() -> float:
    return asyncio.get_running_loop().time()


def test_the_next_call_waits_for_the_connection_and_opens_no_other() -> None:
    async def test() -> None:
        pool, opener = new_pool()
        connection = await used(pool)
        assert (pool.has_idle(), pool.take_idle(), held(pool)) == (False, None, (0, 1, 0))
        began = now()
        assert await pool.acquire() is connection
        assert 0.01 <= now() - began < 0.02
        exchange(connection)
        assert await pool.acquire() is connection
        assert now() - began < 0.02, "five milliseconds from then on"
        assert len(opener.made) == 1

    run_virtual(test())


def test_an_origin_that_has_shown_that_connections_live_is_not_waited_for() -> None:
    async def test() -> None:
        pool, _ = new_pool()
        connection = await used(pool, 17)
        assert pool.take_idle() is connection

    run_virtual(test())


def test_who_waits_opens_another_when_the_peer_closes_the_one_that_rests() -> None:
    async def test() -> None:
        for limit in (None, 1):
            pool, opener = new_pool(limit)
            connection = await used(pool)
            asyncio.get_running_loop().call_later(0.001, connection.connection_lost, None)
            began = now()
            assert await pool.acquire() is opener.made[1]
            assert now() - began < 0.002
            assert (held(pool), pool.keep_alive.deaths) == ((1, 0, 0), 1)

    run_virtual(test())


def test_a_close_that_is_read_when_the_rest_is_over_comes_before_the_use() -> None:
    """Uvloop runs timers before it reads: the end of the rest must not be the moment of the use."""

    async def test() -> None:
        pool, opener = new_pool()
        connection = await used(pool)
        loop = asyncio.get_running_loop()
        loop.call_later(0.01, lambda: loop.call_soon(connection.eof_received))
        assert await pool.acquire() is opener.made[1]

    run_virtual(test())


def test_one_goes_first_and_the_others_wait_for_its_answer_but_not_for_long() -> None:
    async def test() -> None:
        for answers in (True, False):
            pool, opener = new_pool()
            for connection in [await pool.acquire() for _ in range(4)]:
                exchange(connection)
            began = now()
            calls = [asyncio.create_task(pool.acquire()) for _ in range(4)]
            await asyncio.sleep(0.05)
            assert [call.done() for call in calls] == [True, False, False, False]
            if answers:
                exchange(calls[0].result())
            await asyncio.wait(calls)
            assert now() - began == pytest.approx(0.05 if answers else 0.1, abs=0.011)
            assert len(opener.made) == 4

    run_virtual(test())


@pytest.mark.parametrize(("limit", "opened"), [(None, 3), (2, 2)])
def test_where_some_are_closed_young_others_are_opened_while_these_rest(limit: int | None, opened: int) -> None:
    async def test() -> None:
        pool, opener = new_pool(limit)
        await used(pool, 5)
        opener.made[0].connection_lost(None)
        second = await used(pool)
        began = now()
        third = await pool.acquire()
        assert now() == began, "and so from the first on"
        assert third is opener.made[2] if limit is None else third is not second
        exchange(third)
        assert len(opener.made) == 3
        await asyncio.sleep(0.4)
        assert pool.idle == 2
        assert {pool.take_idle(), pool.take_idle()} == {second, third}

    run_virtual(test())


def test_a_request_that_was_lost_counts_as_well() -> None:
    async def test() -> None:
        pool, _ = new_pool()
        await used(pool, 17)
        connection = await pool.acquire()
        future = connection.exchange(b"x", REQUEST)
        connection.connection_lost(None)
        assert (pool.keep_alive.deaths, pool.keep_alive.suspected, future.done()) == (1, True, True)
        future.exception()
        exchange(await pool.acquire())
        assert pool.take_idle() is None

    run_virtual(test())


GOODBYE = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize("crosses", [False, True])
def test_a_goodbye_counts_as_any_other_close(crosses: bool) -> None:
    async def test() -> None:
        pool, _ = new_pool()
        connection = await used(pool)
        if crosses:
            assert await pool.acquire() is connection
            connection.exchange(b"x", REQUEST)
        connection.data_received(GOODBYE)
        connection.eof_received()
        assert (pool.keep_alive.deaths, pool.keep_alive.suspected, pool.unasked_answers) == (1, True, 0)
        assert held(pool) == (0, 0, 0)

    run_virtual(test())


@pytest.mark.parametrize("why", ["an answer too many on an idle one", "the same in a packet", "keep none"])
def test_who_waits_for_connections_that_rest_opens_others_when_these_are_closed(why: str) -> None:
    """Nobody else would wake them: they would follow one another on what the first one opens, or wait for ever."""

    async def test() -> None:
        pool, opener = new_pool()
        *kept, busy = [await pool.acquire() for _ in range(4)]
        for connection in kept:
            exchange(connection)
        calls = [asyncio.create_task(pool.acquire()) for _ in range(3)]
        await asyncio.sleep(0)
        assert held(pool) == (1, 3, 3)
        if why == "keep none":
            pool.keep_none()
        elif why == "the same in a packet":
            busy.exchange(b"x", REQUEST)
            busy.data_received(ANSWER + ANSWER)
        else:
            kept[0].data_received(ANSWER)
        assert all(connection.closed for connection in kept)
        began = now()
        assert [await call for call in calls] == opener.made[4:]
        assert now() == began
        assert pool.keep_alive.deaths == 0, "it was not the peer that closed them"

    run_virtual(test())


@pytest.mark.parametrize(("keep_alive", "told"), [(True, ["http://peer"]), (False, [])])
def test_an_answer_too_many_misleads_nobody_where_no_connection_is_used_twice(
    keep_alive: bool, told: list[str]
) -> None:
    async def test() -> None:
        found: list[str] = []
        pool, _ = new_pool(keep_alive=keep_alive, on_unasked=found.append)
        connection = await pool.acquire()
        connection.exchange(b"x", REQUEST)
        connection.data_received(ANSWER + ANSWER)
        assert (found, pool.unasked_answers) == (told, len(told))
        # What was kept before it was told to keep none is another matter.
        pool, _ = new_pool(on_unasked=found.append)
        await used(pool)
        connection = await pool.acquire()
        pool.keep_none()
        connection.exchange(b"x", REQUEST)
        connection.data_received(ANSWER + ANSWER)
        assert found == [*told, "http://peer"]

    run_virtual(test())


def test_an_origin_that_closes_after_each_answer_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        told: list[int] = []
        pool, opener = new_pool(on_died=lambda origin, number: told.append(number))
        for _ in range(30):
            connection = await used(pool)
            assert connection is opener.made[-1]
            connection.connection_lost(None)
            await asyncio.sleep(0.1)
        assert [record.levelno for record in caplog.records] == [logging.WARNING]
        assert "http://peer closes connections right after an answer" in caplog.text
        assert "--no-keep-alive" in caplog.text
        assert (sum(told), told[0] > 5, set(told[1:])) == (30, True, {1})
        for _ in range(10):
            await used(pool)
        assert pool.idle == 1, "one is kept, to see whether the server was mended"

    run_virtual(test())


def test_what_the_peer_promised_and_what_never_carried_anything_says_nothing() -> None:
    async def test() -> None:
        pool, _ = new_pool()
        fresh = await pool.acquire()
        pool.unused(fresh)
        fresh.connection_lost(None)
        kept = await pool.acquire()
        kept.exchange(b"x", REQUEST)
        kept.data_received(b"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=5\r\nContent-Length: 2\r\n\r\nok")
        await asyncio.sleep(4.5)
        kept.connection_lost(None)
        assert pool.keep_alive.deaths == 0

    run_virtual(test())


def test_a_connection_is_not_used_near_the_age_at_which_others_were_closed() -> None:
    async def test() -> None:
        pool, opener = new_pool()
        await used(pool, 17)
        await asyncio.sleep(2.0)
        opener.made[0].connection_lost(None)
        for seconds, same in ((0.9, True), (1.1, False)):
            before = await used(pool)
            await asyncio.sleep(seconds)
            assert ((await used(pool)) is before) is same
            await asyncio.sleep(0.01)

    run_virtual(test())


def test_one_that_is_too_old_is_watched_and_corrects_what_was_learnt() -> None:
    async def test() -> None:
        pool, opener = new_pool(limit=2)
        await used(pool, 17)
        await asyncio.sleep(2.0)
        opener.made[0].connection_lost(None)
        for _ in range(3):
            assert pool.keep_alive.limit == 1.0
            await used(pool)
            await asyncio.sleep(1.5)
            pool.close_expired()
            assert not opener.made[-1].closed
            assert pool.take_idle() is None, "nobody uses it"
            await asyncio.sleep(1.6)
            pool.close_expired()
            assert opener.made[-1].closed
        assert pool.keep_alive.limit > 1000
        assert held(pool) == (0, 0, 0)

    run_virtual(test())


def test_what_is_watched_makes_room() -> None:
    async def test() -> None:
        pool, opener = new_pool(limit=1)
        await used(pool, 17)
        await asyncio.sleep(2.0)
        opener.made[0].connection_lost(None)
        watched = await used(pool)
        await asyncio.sleep(1.5)
        pool.close_expired()
        assert await pool.acquire() is not watched
        assert watched.closed

    run_virtual(test())


@pytest.mark.parametrize("seconds", [0.5, 1.5])
def test_a_connection_that_grew_too_old_while_it_was_held_ready_is_replaced(seconds: float) -> None:
    async def test() -> None:
        pool, opener = new_pool()
        await used(pool, 17)
        await asyncio.sleep(2.0)
        opener.made[0].connection_lost(None)
        ready = await used(pool)
        assert pool.take_idle() is ready
        sent: list[Connection] = []

        async def send(connection: Connection) -> None:
            sent.append(connection)

        prepared = PreparedRequest(send, pool, ready)  # type: ignore[arg-type]
        await asyncio.sleep(seconds)
        await prepared.send()
        assert (sent == [ready]) is (seconds < 1)
        assert ready.closed is (seconds > 1)

    run_virtual(test())


def test_holding_a_connection_ready_makes_it_no_younger() -> None:
    async def test() -> None:
        pool, _ = new_pool()
        connection = await used(pool, 17)
        until = connection.usable_until
        await asyncio.sleep(3)
        assert pool.take_idle() is connection
        pool.unused(connection)
        assert connection.usable_until == until

    run_virtual(test())


def test_without_keep_alive_each_connection_carries_one_exchange() -> None:
    async def test() -> None:
        pool, opener = new_pool(keep_alive=False)
        pool.unused(await pool.acquire())
        for number in range(20):
            assert await used(pool) is opener.made[number]
            assert opener.made[number].closed
        assert b"\r\nConnection: close\r\n" in pool.encoder.encode(REQUEST, "/")

    run_virtual(test())


def test_a_request_that_asks_to_close_ends_keep_alive_for_its_origin() -> None:
    async def test() -> None:
        pool, _ = new_pool()
        await used(pool, 17)
        kept, busy = await pool.acquire(), await pool.acquire()
        exchange(kept)
        assert b"Connection" not in pool.encoder.encode(REQUEST, "/")
        asking = Request("POST", "http://peer/", {"connection": "Close"})
        assert pool.encoder.encode(asking, "/").lower().count(b"connection: close") == 1
        assert (kept.closed, busy.closed) == (True, False)
        exchange(busy)
        assert busy.closed
        assert b"\r\nConnection: close\r\n" in pool.encoder.encode(REQUEST, "/"), "also those that did not ask"
        assert held(pool) == (0, 0, 0)

    run_virtual(test())
