"""How many may be in the new arms at once: in order, bounded, and no place is ever lost."""

from __future__ import annotations

import asyncio
import gc
import random
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

import penstock
from penstock.errors import ArmsBusy
from penstock.migrate.ceiling import Ceiling, CeilingReached, LeftWaiting
from penstock.migrate.watch import WATCH
from penstock.testing.virtual_loop import run_virtual

from .routes import ROUTE, counts, tally, write


async def hold(ceiling: Ceiling, seconds: float, log: list[str], name: str) -> None:
    await ceiling.enter()
    log.append(f"{name} in")
    try:
        await asyncio.sleep(seconds)
    finally:
        ceiling.leave()
        log.append(f"{name} out")


async def start(*work: Coroutine[Any, Any, None]) -> list[asyncio.Task[None]]:
    """Tasks that have come as far as they come at once."""
    tasks = [asyncio.ensure_future(each) for each in work]
    for _ in range(3):
        await asyncio.sleep(0)
    return tasks


def test_who_waits_goes_in_order_and_the_next_is_refused() -> None:
    async def main() -> list[str]:
        ceiling, log = Ceiling(1, 2), list[str]()
        tasks = await start(*(hold(ceiling, 1.0, log, name) for name in "abc"))
        with pytest.raises(CeilingReached):
            await ceiling.enter()
        assert repr(ceiling) == "<Ceiling 1 of 1 in flight, 2 waiting>"
        await asyncio.gather(*tasks)
        assert repr(ceiling) == "<Ceiling 0 of 1 in flight, 0 waiting>"
        return log

    assert run_virtual(main()) == ["a in", "a out", "b in", "b out", "c in", "c out"]


def test_who_is_cancelled_while_it_waits_gives_its_place_in_the_queue_back() -> None:
    async def main() -> list[str]:
        ceiling, log = Ceiling(1, 1), list[str]()
        first, second = await start(hold(ceiling, 1.0, log, "a"), hold(ceiling, 1.0, log, "b"))
        second.cancel()
        await asyncio.wait((second,))
        third = asyncio.ensure_future(hold(ceiling, 1.0, log, "c"))
        await asyncio.gather(first, third)
        assert repr(ceiling) == "<Ceiling 0 of 1 in flight, 0 waiting>"
        return log

    assert run_virtual(main()) == ["a in", "a out", "c in", "c out"]


def test_a_place_that_comes_together_with_the_cancellation_goes_to_the_next() -> None:
    async def main() -> list[str]:
        ceiling, log = Ceiling(1, 2), list[str]()
        await ceiling.enter()
        second, third = await start(hold(ceiling, 1.0, log, "b"), hold(ceiling, 1.0, log, "c"))
        ceiling.leave()
        second.cancel()
        await asyncio.gather(second, third, return_exceptions=True)
        assert repr(ceiling) == "<Ceiling 0 of 1 in flight, 0 waiting>"
        return log

    assert run_virtual(main()) == ["c in", "c out"]


@pytest.mark.parametrize("seed", range(20))
def test_no_place_is_lost_whatever_is_cancelled(seed: int) -> None:
    chance = random.Random(seed)

    async def main() -> None:
        ceiling, log = Ceiling(3, 5), list[str]()
        tasks = []
        for number in range(200):
            tasks.append(asyncio.ensure_future(hold(ceiling, chance.random(), log, str(number))))
            await asyncio.sleep(chance.random() * 0.2)
            if chance.random() < 0.4:
                chance.choice(tasks).cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert repr(ceiling) == "<Ceiling 0 of 3 in flight, 0 waiting>"
        inside = most = 0
        for line in log:
            inside += 1 if line.endswith(" in") else -1
            most = max(most, inside)
        assert most == 3

    run_virtual(main())


def test_who_leaves_while_waiting_gets_no_place() -> None:
    async def main() -> None:
        ceiling, log = Ceiling(1, 1), list[str]()
        (first,) = await start(hold(ceiling, 5.0, log, "a"))
        with pytest.raises(LeftWaiting):
            await ceiling.enter(lambda: asyncio.sleep(1.0))
        assert asyncio.get_running_loop().time() == 1.0
        assert repr(ceiling) == "<Ceiling 1 of 1 in flight, 0 waiting>"
        await first
        await ceiling.enter(lambda: asyncio.sleep(1.0))

    run_virtual(main())


def test_a_place_that_comes_together_with_the_leaving_is_had() -> None:
    """It was given; what becomes of it the arm will see."""

    async def main() -> None:
        ceiling, log = Ceiling(1, 1), list[str]()
        (first,) = await start(hold(ceiling, 1.0, log, "a"))
        await ceiling.enter(lambda: asyncio.sleep(1.0))
        ceiling.leave()
        await first
        assert repr(ceiling) == "<Ceiling 0 of 1 in flight, 0 waiting>"

    run_virtual(main())


def test_one_ceiling_for_the_loops_of_several_threads() -> None:
    ceiling, inside, most = Ceiling(2, 100), list[int](), list[int]()

    async def one(number: int) -> None:
        await ceiling.enter()
        inside.append(number)
        most.append(len(inside))
        await asyncio.sleep(0.001)
        inside.remove(number)
        ceiling.leave()

    async def ten(thread: int) -> None:
        await asyncio.gather(*(one(thread * 10 + number) for number in range(10)))

    threads = [threading.Thread(target=asyncio.run, args=(ten(number),)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(most) == 40
    assert max(most) == 2
    assert repr(ceiling) == "<Ceiling 0 of 2 in flight, 0 waiting>"


def test_a_loop_that_is_closed_takes_no_place_with_it() -> None:
    ceiling = Ceiling(1, 2)
    asyncio.run(ceiling.enter())
    loop = asyncio.new_event_loop()
    waiting = loop.create_task(ceiling.enter())
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    ceiling.leave()
    assert repr(ceiling) == "<Ceiling 0 of 1 in flight, 0 waiting>"
    coroutine = waiting.get_coro()
    assert coroutine is not None
    with pytest.raises(asyncio.CancelledError):
        coroutine.throw(asyncio.CancelledError())
    assert repr(ceiling) == "<Ceiling 0 of 1 in flight, 0 waiting>"
    # asyncio logs that a task was never finished: now, and not in a test that looks at the log.
    del waiting, coroutine
    gc.collect()


def test_a_route_refuses_what_is_too_much_and_the_control_is_not_bounded(state_file: Path) -> None:
    write(state_file, 1.0)

    @penstock.arms(ROUTE, max_in_flight=2, max_waiting=1)
    async def quote(seconds: float) -> str:
        await asyncio.sleep(seconds)
        return "control"

    @quote.arm("async")
    async def _(seconds: float) -> str:
        await asyncio.sleep(seconds)
        return "async"

    async def main() -> None:
        tasks = await start(*(quote(1.0) for _ in range(3)))
        # The first one had to read the state.
        await asyncio.sleep(0.1)
        assert counts("async") == {"in_flight": 2}
        with pytest.raises(ArmsBusy, match=r"GET /quote/{id} has as many.*: 2 of 2 in flight, 1 waiting") as refused:
            await quote(1.0)
        assert (refused.value.route, refused.value.retry_after) == (ROUTE, 1)
        assert await asyncio.gather(*tasks) == ["async"] * 3
        assert counts("async") == {"ended": 3, "shed": 1}

    run_virtual(main())
    assert tally("async").in_flight == 0


def test_a_request_that_is_cancelled_while_it_waits_was_never_in_an_arm(state_file: Path) -> None:
    write(state_file, 1.0)

    @penstock.arms(ROUTE, max_in_flight=1, max_waiting=1)
    def quote() -> None: ...

    @quote.arm("async")
    async def _() -> None:
        await asyncio.sleep(1.0)

    async def main() -> None:
        # Whoever comes first reads the state, and is then perhaps not the first any more.
        await WATCH.start_aside()
        first, second = await start(quote(), quote())
        second.cancel()
        await asyncio.wait((second,))
        third = asyncio.ensure_future(quote())
        await asyncio.gather(first, third)

    run_virtual(main())
    assert counts("async") == {"ended": 2}


def test_threads_go_in_order_and_the_next_is_refused() -> None:
    ceiling, log = Ceiling(1, 2), list[str]()
    ceiling.enter_in_thread(0)

    def wait(name: str) -> None:
        ceiling.enter_in_thread(30)
        log.append(name)
        ceiling.leave()

    threads = []
    for number, name in enumerate("ab", 1):
        threads.append(threading.Thread(target=wait, args=(name,)))
        threads[-1].start()
        # It was started after the one before had been seen.
        while f"{number} waiting" not in str(ceiling):
            assert threads[-1].is_alive()
    with pytest.raises(CeilingReached):
        ceiling.enter_in_thread(30)
    ceiling.leave()
    for thread in threads:
        thread.join()
    assert log == ["a", "b"]
    assert repr(ceiling) == "<Ceiling 0 of 1 in flight, 0 waiting>"


def test_a_thread_does_not_wait_for_ever() -> None:
    ceiling = Ceiling(1, 2)
    ceiling.enter_in_thread(0)
    with pytest.raises(CeilingReached):
        ceiling.enter_in_thread(0.001)
    assert repr(ceiling) == "<Ceiling 1 of 1 in flight, 0 waiting>"


def test_a_place_that_comes_while_a_thread_gives_up_is_had(monkeypatch: pytest.MonkeyPatch) -> None:
    ceiling = Ceiling(1, 2)
    ceiling.enter_in_thread(0)

    def too_late(waiter: object, seconds: float) -> bool:
        ceiling.leave()
        return False

    monkeypatch.setattr("penstock.migrate.ceiling._WaitingThread.wait", too_late)
    ceiling.enter_in_thread(1.0)
    assert repr(ceiling) == "<Ceiling 1 of 1 in flight, 0 waiting>"


def test_no_place_is_lost_among_threads_and_loops() -> None:
    ceiling, inside, most = Ceiling(2, 100), list[int](), list[int]()

    def one(number: int) -> None:
        for _ in range(20):
            ceiling.enter_in_thread(30)
            inside.append(number)
            most.append(len(inside))
            threading.Event().wait(0.001)
            inside.remove(number)
            ceiling.leave()

    async def other(number: int) -> None:
        for _ in range(20):
            await ceiling.enter()
            inside.append(number)
            most.append(len(inside))
            await asyncio.sleep(0.001)
            inside.remove(number)
            ceiling.leave()

    threads = [threading.Thread(target=one, args=(number,)) for number in range(4)]
    threads += [threading.Thread(target=lambda number=number: asyncio.run(other(number))) for number in range(4, 6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(most), max(most)) == (120, 2)
    assert repr(ceiling) == "<Ceiling 0 of 2 in flight, 0 waiting>"


def test_a_thread_that_is_ended_while_it_waits_leaves_the_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a timeout of its worker, or as a greenlet: it would be given a place, and nobody would give it back."""
    ceiling = Ceiling(1, 2)
    ceiling.enter_in_thread(0)

    def ended(waiter: object, seconds: float) -> bool:
        raise SystemExit

    monkeypatch.setattr("penstock.migrate.ceiling._WaitingThread.wait", ended)
    with pytest.raises(SystemExit):
        ceiling.enter_in_thread(1.0)
    ceiling.leave()
    assert repr(ceiling) == "<Ceiling 0 of 1 in flight, 0 waiting>"
