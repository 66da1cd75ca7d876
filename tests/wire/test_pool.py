"""Slots and connections of one origin, without a socket."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from penstock.errors import ConnectError, UsageError
from penstock.testing import run_virtual
from penstock.wire.connection import Connection
from penstock.wire.pool import OriginPool
from penstock.wire.request_bytes import RequestEncoder
from penstock.wire.url import UrlOrigin

from .fakes import FakeTransport, run

ORIGIN = UrlOrigin("http", "peer", 80)


class Opener:
    """Opens fake connections; fails while `broken`."""

    def __init__(self) -> None:
        self.broken = False
        self.made: list[Connection] = []

    async def __call__(self, pool: OriginPool) -> Connection:
        await asyncio.sleep(0)
        if self.broken:
            raise ConnectError("refused")
        connection = Connection(pool, "http://peer", pool.heads, max_bytes=100, decompress=True)
        connection.connection_made(cast("asyncio.BaseTransport", FakeTransport()))
        self.made.append(connection)
        return connection


def pool_of(opener: Opener, limit: int | None = None, idle_timeout: float = 60.0) -> OriginPool:
    """A pool whose origin has shown that kept connections live."""
    pool = OriginPool(RequestEncoder(ORIGIN, "gzip"), opener, max_connections=limit, idle_timeout=idle_timeout)
    while not pool.keep_alive.trusted:
        pool.keep_alive.proved(1)
    return pool


def held(pool: OriginPool) -> tuple[int, int, int]:
    return pool.in_use, pool.idle, pool.waiting


def test_the_last_used_is_used_first() -> None:
    async def test() -> None:
        pool = pool_of(Opener())
        one, two, three = [await pool.acquire() for _ in range(3)]
        for connection in (two, three, one):
            pool.finished(connection)
        assert [pool.take_idle() for _ in range(4)] == [one, three, two, None]
        assert held(pool) == (3, 0, 0)

    run(test)


def test_waiters_are_served_in_order() -> None:
    async def test() -> None:
        pool = pool_of(Opener(), limit=1)
        connection = await pool.acquire()
        order: list[int] = []

        async def one(n: int) -> None:
            got = await pool.acquire()
            order.append(n)
            await asyncio.sleep(0)
            pool.finished(got)

        tasks = [asyncio.create_task(one(n)) for n in range(100)]
        await asyncio.sleep(0)
        assert held(pool) == (1, 0, 100)
        pool.finished(connection)
        await asyncio.gather(*tasks)
        assert order == list(range(100))
        assert held(pool) == (0, 1, 0)

    run(test)


def test_nobody_overtakes_those_who_wait() -> None:
    async def test() -> None:
        pool = pool_of(Opener(), limit=1)
        connection = await pool.acquire()
        waiting = asyncio.create_task(pool.acquire())
        await asyncio.sleep(0)
        pool.finished(connection)
        assert pool.take_idle() is None
        assert await waiting is connection

    run(test)


def test_a_connection_that_closed_after_it_was_handed_over_is_replaced_in_its_slot() -> None:
    async def test() -> None:
        opener = Opener()
        pool = pool_of(opener, limit=1)
        connection = await pool.acquire()
        waiting = asyncio.create_task(pool.acquire())
        await asyncio.sleep(0)
        pool.finished(connection)
        connection.connection_lost(None)
        assert await waiting is opener.made[1]
        assert held(pool) == (1, 0, 0)

    run(test)


def test_a_failed_opening_passes_its_slot_on() -> None:
    async def test() -> None:
        opener = Opener()
        opener.broken = True
        pool = pool_of(opener, limit=2)
        results = await asyncio.gather(*(pool.acquire() for _ in range(10)), return_exceptions=True)
        assert {type(r) for r in results} == {ConnectError}
        assert held(pool) == (0, 0, 0)
        opener.broken = False
        await pool.acquire()
        assert (held(pool), pool.opened) == ((1, 0, 0), 1)

    run(test)


def test_an_idle_connection_that_closes_frees_its_slot() -> None:
    async def test() -> None:
        pool = pool_of(Opener(), limit=1)
        connection = await pool.acquire()
        pool.finished(connection)
        connection.eof_received()
        connection.connection_lost(None)
        assert held(pool) == (0, 0, 0)
        assert pool.connections == set()
        assert await pool.acquire() is not connection

    run(test)


@pytest.mark.parametrize("limit", [1, None])
def test_a_new_connection_is_never_one_that_was_used(limit: int | None) -> None:
    async def test() -> None:
        opener = Opener()
        pool = pool_of(opener, limit)
        pool.finished(await pool.acquire())
        assert await pool.acquire_new() is opener.made[1]
        assert pool.in_use == 1
        assert pool.idle == (0 if limit else 1)

    run(test)


def test_a_new_connection_waits_its_turn_and_takes_the_place_of_what_it_is_given() -> None:
    async def test() -> None:
        opener = Opener()
        pool = pool_of(opener, limit=1)
        first = await pool.acquire()
        waiting = asyncio.create_task(pool.acquire_new())
        await asyncio.sleep(0)
        pool.finished(first)
        assert await waiting is opener.made[1]
        assert first.closed
        assert held(pool) == (1, 0, 0)

    run(test)


def test_expired_connections_are_closed_and_not_handed_out() -> None:
    async def test() -> None:
        pool = pool_of(Opener(), idle_timeout=10)
        old, fresh = await pool.acquire(), await pool.acquire()
        for connection in (old, fresh):
            pool.finished(connection)
        old.usable_until = 0
        pool.close_expired()
        assert (old.closed, fresh.closed, pool.idle) == (True, False, 1)
        fresh.usable_until = 0
        assert pool.take_idle() is None
        assert fresh.closed
        assert held(pool) == (0, 0, 0)

    run(test)


@pytest.mark.parametrize(("promised", "kept"), [(None, 10.0), (5.0, 4.0), (600.0, 10.0), (1.0, 0.0), (0.0, -1.0)])
def test_the_peer_may_shorten_but_not_lengthen_the_idle_time(promised: float | None, kept: float) -> None:
    async def test() -> None:
        pool = pool_of(Opener(), idle_timeout=10)
        connection = await pool.acquire()
        connection.keep_alive_seconds = promised
        now = asyncio.get_running_loop().time()
        pool.finished(connection)
        assert connection.usable_until - now == pytest.approx(kept, abs=0.5)

    run(test)


def test_closing_refuses_those_who_wait() -> None:
    async def test() -> None:
        pool = pool_of(Opener(), limit=1)
        connection = await pool.acquire()
        waiting = asyncio.create_task(pool.acquire())
        await asyncio.sleep(0)
        closing = asyncio.create_task(pool.aclose())
        with pytest.raises(UsageError, match="closed"):
            await waiting
        assert connection.closed
        connection.connection_lost(None)
        await closing
        assert pool.waiting == 0

    run(test)


def test_cancelling_every_waiter_in_any_order_loses_no_slot() -> None:
    async def test() -> None:
        for victims in ([0], [2], [0, 1, 2], [2, 1, 0], [1, 3]):
            pool = pool_of(Opener(), limit=1)
            connection = await pool.acquire()
            tasks = [asyncio.create_task(pool.acquire()) for _ in range(4)]
            await asyncio.sleep(0)
            pool.finished(connection)
            for victim in victims:
                tasks[victim].cancel()
            for task in tasks:
                got = (await asyncio.gather(task, return_exceptions=True))[0]
                if isinstance(got, Connection):
                    pool.finished(got)
            assert held(pool) == (0, 1, 0), victims

    run(test)


def test_it_says_what_it_holds() -> None:
    async def main() -> None:
        pool = pool_of(Opener(), limit=1)
        assert repr(pool) == "<OriginPool 0 in use, 0 idle, 0 waiting, 0 opened>"
        connection = await pool.acquire()
        waiter = asyncio.create_task(pool.acquire())
        await asyncio.sleep(0)
        assert repr(pool) == "<OriginPool 1 in use, 0 idle, 1 waiting, 1 opened>"
        pool.finished(connection)
        pool.finished(await waiter)
        assert repr(pool) == "<OriginPool 0 in use, 1 idle, 0 waiting, 1 opened>"
        await pool.aclose()

    run(main)


def test_a_peer_that_answers_too_often_gets_one_request_for_each_connection(caplog: pytest.LogCaptureFixture) -> None:
    """One answer too many, a moment after the right one, gave 299 of 300 requests the answer of the one before."""

    async def test() -> None:
        pool = pool_of(Opener(), limit=3)
        one, two, busy = [await pool.acquire() for _ in range(3)]
        pool.finished(one)
        pool.finished(two)
        one.data_received(b"HTTP/1.1 200 OK\r\n\r\n")
        assert (one.closed, two.closed, busy.closed) == (True, True, False)
        assert held(pool) == (1, 0, 0)
        pool.finished(busy)
        assert busy.closed, "its next answer may be one too many as well"
        waits = [await pool.acquire() for _ in range(3)]
        turn = asyncio.create_task(pool.acquire())
        await asyncio.sleep(0)
        pool.finished(waits[0])
        assert (await turn) is not waits[0], "nor is it handed over"
        await asyncio.sleep(61)
        pool.finished(waits[1])
        assert pool.take_idle() is waits[1], "it may have been mended"
        waits[2].data_received(b"x")
        assert pool.unasked_answers == 2
        assert [record.levelname for record in caplog.records] == ["WARNING"], "said once"

    run_virtual(test())


def test_a_goodbye_is_no_reason_for_distrust() -> None:
    """Load balancers send 408 before they close a connection that was idle."""

    async def test() -> None:
        pool = pool_of(Opener())
        one, two = [await pool.acquire() for _ in range(2)]
        pool.finished(one)
        pool.finished(two)
        one.data_received(b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n")
        assert (one.closed, two.closed, pool.unasked_answers) == (True, False, 0)
        assert pool.take_idle() is two

    run(test)
