"""An arm that is driven step by step is awaited as ever; what it does between two awaits is timed."""

from __future__ import annotations

import asyncio
import types
from collections.abc import Coroutine, Generator
from typing import Any

import pytest

from penstock.migrate.steps import stepwise
from penstock.migrate.tally import ArmTally
from penstock.testing import ManualClock
from penstock.testing.virtual_loop import run_virtual


class Watched(ArmTally):
    """Notes what the tally says within each step."""

    def __init__(self) -> None:
        super().__init__("GET /", "async")
        self.began: list[float] = []

    def step_began(self, now: float) -> None:
        super().step_began(now)
        self.began.append(now)


@types.coroutine
def give(value: Any) -> Generator[Any, Any, Any]:
    return (yield value)


def drive(coroutine: Coroutine[Any, Any, Any]) -> tuple[Generator[Any, Any, Any], Watched]:
    tally = Watched()
    return stepwise(coroutine, tally), tally


def test_values_go_in_and_out_as_they_are() -> None:
    async def arm() -> str:
        return f"{await give('one')} {await give('two')}"

    steps, _ = drive(arm())
    assert steps.send(None) == "one"
    assert steps.send("a") == "two"
    with pytest.raises(StopIteration) as stopped:
        steps.send("b")
    assert stopped.value.value == "a b"


def test_what_is_thrown_in_is_thrown_there_and_can_be_caught() -> None:
    async def arm() -> str:
        try:
            await give(1)
        except LookupError as error:
            return f"caught {error}, {await give(2)}"
        return "not thrown"

    steps, _ = drive(arm())
    steps.send(None)
    assert steps.throw(LookupError("x")) == 2
    with pytest.raises(StopIteration) as stopped:
        steps.send("go on")
    assert stopped.value.value == "caught x, go on"


def test_an_error_comes_out_as_it_is_without_a_trace_of_us() -> None:
    error = LookupError("x")

    async def arm() -> None:
        await give(1)
        raise error

    steps, tally = drive(arm())
    steps.send(None)
    with pytest.raises(LookupError) as raised:
        steps.send(None)
    assert raised.value is error
    assert error.__context__ is None
    assert tally.running == 0.0


def test_closing_closes_the_arm() -> None:
    ended = []

    async def arm() -> None:
        try:
            await give(1)
        finally:
            ended.append(True)

    steps, _ = drive(arm())
    steps.send(None)
    steps.close()
    assert ended == [True]


def test_an_arm_that_does_not_want_to_close_says_so_as_ever() -> None:
    async def arm() -> None:
        try:
            await give(1)
        except GeneratorExit:
            await give(2)

    steps, _ = drive(arm())
    steps.send(None)
    with pytest.raises(RuntimeError, match="ignored GeneratorExit"):
        steps.close()


def test_cancellation_and_timeouts_work() -> None:
    async def arm(log: list[str]) -> str:
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            log.append("cancelled")
            raise
        return "slept"

    async def main() -> list[str]:
        log: list[str] = []
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await stepwise(arm(log), Watched())
        task = asyncio.ensure_future(wrapped(log))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await stepwise(arm(log), Watched()) == "slept"
        return log

    async def wrapped(log: list[str]) -> str:
        return await stepwise(arm(log), Watched())

    assert run_virtual(main()) == ["cancelled", "cancelled"]


@pytest.mark.parametrize(("held", "told"), [(0.0, 0.0), (0.0099, 0.0), (0.010, 0.010), (0.3, 0.3)])
def test_a_step_that_holds_the_loop_is_told(held: float, told: float) -> None:
    clock = ManualClock()

    async def arm() -> None:
        await give(1)
        clock.advance(held)
        await give(2)

    tally = Watched()
    steps = stepwise(arm(), tally, clock.now)
    steps.send(None)
    steps.send(None)
    assert tally.blocked_seconds == pytest.approx(told)


def test_time_between_the_steps_is_the_others() -> None:
    clock = ManualClock()

    async def arm() -> None:
        await give(1)

    tally = Watched()
    steps = stepwise(arm(), tally, clock.now)
    steps.send(None)
    clock.advance(50.0)
    steps.close()
    assert tally.blocked_seconds == 0.0


def test_the_step_that_is_running_can_be_seen_from_another_thread() -> None:
    clock = ManualClock(start=100.0)
    tally = Watched()
    seen = []

    async def arm() -> None:
        clock.advance(5.0)
        seen.append(tally.running)
        await give(1)

    steps = stepwise(arm(), tally, clock.now)
    steps.send(None)
    assert seen == [100.0]
    assert tally.running == 0.0
    assert tally.blocked_seconds == 5.0


def test_a_step_that_raises_after_holding_the_loop_is_told_too() -> None:
    clock = ManualClock()

    async def arm() -> None:
        clock.advance(1.0)
        raise ValueError

    tally = Watched()
    with pytest.raises(ValueError):  # noqa: PT011
        stepwise(arm(), tally, clock.now).send(None)
    assert (tally.blocked_seconds, tally.running) == (1.0, 0.0)
