"""A manual clock moves only when told, and wakes in order."""

from __future__ import annotations

import asyncio

import pytest

from penstock.clock import Clock
from penstock.testing import ManualClock, run_virtual


def test_sleepers_wake_in_order_of_their_time() -> None:
    clock = ManualClock(start=100.0)
    woken: list[str] = []

    async def sleeper(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append(name)

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            for name, seconds in (("c", 3.0), ("a", 1.0), ("b", 1.0), ("d", 4.0)):
                group.create_task(sleeper(name, seconds))
            await asyncio.sleep(0)
            assert clock.sleeping == 4
            clock.advance(0.5)
            await asyncio.sleep(0)
            assert woken == []
            clock.advance(2.5)
            await asyncio.sleep(0)
            assert woken == ["a", "b", "c"]
            assert repr(clock) == "<ManualClock now=103 sleeping=1>"
            clock.advance(1)

    run_virtual(main())
    assert woken == ["a", "b", "c", "d"]


def test_a_cancelled_sleeper_is_forgotten() -> None:
    async def main() -> None:
        clock = ManualClock()
        task = asyncio.create_task(clock.sleep(1))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
        assert clock.sleeping == 0
        clock.advance(2)

    run_virtual(main())


@pytest.mark.parametrize("seconds", [0, -1])
def test_no_time_to_sleep_lets_others_run(seconds: float) -> None:
    clock: Clock = ManualClock()
    run_virtual(clock.sleep(seconds))


def test_wall_runs_along() -> None:
    clock = ManualClock(start=5, epoch=1000)
    clock.advance(2)
    assert (clock.now(), clock.wall()) == (7, 1002)


@pytest.mark.parametrize("seconds", [-1e-9, float("nan")])
def test_a_step_back_is_refused(seconds: float) -> None:
    clock = ManualClock()
    with pytest.raises(ValueError, match="advanced"):
        clock.advance(seconds)
    assert clock.now() == 0
