"""Virtual time jumps, is exact, waits for threads and tells a deadlock from patience."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading

import pytest

from penstock.clock import call_at, current_clock
from penstock.testing import Deadlock, VirtualTimeLoop, run_virtual


def test_a_year_of_sleep_is_exact() -> None:
    async def main() -> float:
        await asyncio.sleep(365 * 86_400.0)
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == 365 * 86_400.0


def test_timers_fire_in_order_at_exactly_their_moment() -> None:
    due = [0.1, 33.3, 33.3 + 1e-9, 1e6 / 3, 0.0, 7.7]
    seen: list[float] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        for when in due:
            loop.call_at(when, lambda: seen.append(loop.time()))
        await asyncio.sleep(1e6)

    run_virtual(main())
    assert seen == sorted(due)


def test_the_loop_carries_a_clock_of_its_own_time() -> None:
    async def main() -> None:
        clock = current_clock()
        wall = clock.wall()
        await clock.sleep(60)
        assert clock.now() == asyncio.get_running_loop().time() == 65.0
        assert clock.wall() - wall == 60.0
        fired: list[float] = []
        call_at(clock, 70.0, lambda: fired.append(clock.now()))
        await clock.sleep(10)
        assert fired == [70.0]

    run_virtual(main(), start=5.0)


def test_a_timeout_takes_no_real_time() -> None:
    async def main() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3600):
                await asyncio.get_running_loop().create_future()
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == 3600


def test_a_deadlock_raises_and_says_where() -> None:
    async def stuck() -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        await asyncio.sleep(2)
        await asyncio.create_task(stuck(), name="the stuck one")

    with pytest.raises(Deadlock, match=r"after 2 s: .*the stuck one at .*locks\.py"):
        run_virtual(main())


def test_a_timer_at_infinity_is_no_way_out_of_a_deadlock() -> None:
    async def main() -> None:
        await asyncio.sleep(float("inf"))

    with pytest.raises(Deadlock):
        run_virtual(main())


def test_time_stands_still_while_a_thread_works() -> None:
    gate = threading.Event()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        ticks: list[float] = []
        loop.call_later(5, lambda: ticks.append(loop.time()))
        work = asyncio.create_task(asyncio.to_thread(gate.wait))
        await asyncio.sleep(0)
        gate.set()
        assert await work
        assert ticks == []
        assert loop.time() == 0.0
        await asyncio.sleep(5)
        assert ticks == [5.0]

    run_virtual(main())


def test_work_in_a_thread_may_fail_or_be_cancelled() -> None:
    gate = threading.Event()

    async def main() -> None:
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(lambda: 1 / 0)
        waiting = asyncio.create_task(asyncio.to_thread(gate.wait))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        # Nobody waits for the thread any more, so time moves although it is still there.
        await asyncio.sleep(100)
        gate.set()

    run_virtual(main())


def test_a_thread_that_never_comes_back_is_a_deadlock() -> None:
    gate = threading.Event()

    async def main() -> None:
        try:
            await asyncio.to_thread(gate.wait)
        finally:
            gate.set()

    with pytest.raises(Deadlock, match="1 piece"):
        run_virtual(main(), patience=0.01)


def test_hold_time_waits_for_a_thread_of_ones_own() -> None:
    async def main() -> str:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        answer = loop.create_future()
        thread = threading.Thread(target=lambda: loop.call_soon_threadsafe(answer.set_result, "done"))
        with loop.hold_time():
            thread.start()
            result: str = await answer
        thread.join()
        return result

    assert run_virtual(main()) == "done"


def test_a_signal_is_seen_before_time_moves() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        seen = loop.create_future()
        loop.add_signal_handler(signal.SIGUSR1, lambda: seen.set_result(loop.time()))
        try:
            os.kill(os.getpid(), signal.SIGUSR1)
            await asyncio.sleep(10)
            when: float = await seen
            return when
        finally:
            loop.remove_signal_handler(signal.SIGUSR1)

    assert run_virtual(main()) == 0.0


def test_sockets_with_both_ends_in_the_loop_work() -> None:
    async def main() -> None:
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=ours)
        other_reader, other_writer = await asyncio.open_connection(sock=theirs)
        writer.write(b"ping")
        async with asyncio.timeout(1):
            assert await other_reader.readexactly(4) == b"ping"
        for each in (writer, other_writer):
            each.close()
            await each.wait_closed()
        assert await reader.read() == b""

    run_virtual(main())


def test_what_main_raises_comes_out() -> None:
    async def main() -> None:
        raise LookupError("as it was")

    with pytest.raises(LookupError, match="as it was"):
        run_virtual(main())
