"""Every item gets exactly one outcome, whatever feeds the engine and however it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import penstock
from penstock.clock import current_clock
from penstock.engine.outcome import Item
from penstock.testing import After, Hang, ScriptedCall, cancel_everywhere, run_virtual

from .engine_tools import collect, run_all


async def echo(item: Any) -> Any:
    return item


async def slow_echo(item: Any) -> Any:
    await current_clock().sleep(1.0)
    return item


def generate(count: int) -> Iterator[int]:
    yield from range(count)


async def generate_async(count: int) -> AsyncIterator[int]:
    for each in range(count):
        await current_clock().sleep(0.001)
        yield each


class Batches:
    """A BatchSource of `count` items, `size` at a time."""

    def __init__(self, count: int, size: int) -> None:
        self.count, self.size = count, size
        self.closed = False

    async def batches(self) -> AsyncIterator[list[Item[int]]]:
        try:
            for start in range(0, self.count, self.size):
                await current_clock().sleep(0.001)
                yield [Item(each, each) for each in range(start, min(start + self.size, self.count))]
        finally:
            self.closed = True


@pytest.mark.parametrize("count", [0, 1, 2, 15, 16, 17, 1000])
@pytest.mark.parametrize(
    "make",
    [range, generate, generate_async, lambda n: list(range(n)), lambda n: set(range(n)), lambda n: Batches(n, 7)],
)
@pytest.mark.parametrize("call", [echo, slow_echo])
@pytest.mark.parametrize("in_flight", ["auto", 1, 3])
def test_every_item_has_exactly_one_outcome(count: int, make: Any, call: Any, in_flight: Any) -> None:
    """Whatever the source is, each item comes out once, with its own position and value."""
    outcomes = run_virtual(run_all(call, make(count), max_in_flight=in_flight))
    assert sorted(outcome.position for outcome in outcomes) == list(range(count))
    assert all(outcome.ok and outcome.value == outcome.item and outcome.attempts == 1 for outcome in outcomes)


@pytest.mark.slow
def test_a_hundred_thousand_items_come_out_once_each() -> None:
    """Nothing is lost or doubled among many."""

    async def main() -> tuple[int, int, bool]:
        async with penstock.run(echo, range(100_000), retry_on="none") as outcomes:
            seen = bytearray(100_000)
            async for outcome in outcomes:
                seen[outcome.position] += 1
        return seen.count(1), outcomes.counters.items, outcomes.complete

    assert run_virtual(main()) == (100_000, 100_000, True)


@pytest.mark.parametrize(
    "bad",
    [
        ValueError("no"),
        ValueError(),
        KeyError,
        penstock.Stopped("inside"),
        StopAsyncIteration(),
        StopIteration(),
        TimeoutError(),
        asyncio.CancelledError(),
        asyncio.CancelledError,
        ExceptionGroup("two", [ValueError(), KeyError()]),
        penstock.AttemptTimeout("late"),
        penstock.Response(404),
        penstock.Response(500, body=b"sorry"),
        penstock.Response(302),
    ],
    ids=repr,
)
@pytest.mark.parametrize("in_flight", [1, 5])
def test_one_bad_item_never_stops_the_rest(bad: Any, in_flight: int) -> None:
    """Whatever a call raises or returns is the outcome of its item and of no other."""

    async def call(item: int) -> Any:
        await current_clock().sleep(0.1)
        if item == 3:
            if isinstance(bad, penstock.Response):
                return bad
            raise bad
        return item

    outcomes = run_virtual(run_all(call, range(10), max_in_flight=in_flight))
    assert sorted(outcome.position for outcome in outcomes) == list(range(10))
    assert [outcome.position for outcome in outcomes if not outcome.ok] == [3]
    failed = next(outcome for outcome in outcomes if not outcome.ok)
    assert failed.kind
    assert failed.message


def test_an_answer_with_another_status_than_2xx_is_a_failure() -> None:
    """A Response is judged by its status, and its kind says which class it was."""
    answers = [penstock.Response(status) for status in (200, 204, 301, 404, 429, 500, 503)]
    outcomes = run_virtual(run_all(ScriptedCall(answers), range(7), max_in_flight=1, max_attempts=1))
    by_position = [o.kind for o in sorted(outcomes, key=lambda o: o.position)]
    assert by_position == ["", "", "http_3xx", "http_4xx", "throttled", "http_5xx", "http_5xx"]
    assert [o.status for o in outcomes if not o.ok] == [301, 404, 429, 500, 503]


def failing(count: int) -> Iterator[int]:
    yield from range(count)
    raise OSError("the disk is gone")


async def failing_async(count: int) -> AsyncIterator[int]:
    for each in range(count):
        yield each
    raise OSError("the disk is gone")


@pytest.mark.parametrize("count", [0, 1, 5, 16, 17, 40])
@pytest.mark.parametrize("make", [failing, failing_async])
def test_a_source_that_raises_ends_the_run_after_the_items_before_it(count: int, make: Any) -> None:
    """What the source gave is carried out; then its error comes to the consumer, as it is and in no group."""
    seen: list[int] = []

    async def main() -> None:
        async with penstock.run(slow_echo, make(count), retry_on="none", max_in_flight=4) as outcomes:
            async for outcome in outcomes:
                seen.append(outcome.position)

    with pytest.raises(OSError, match="the disk is gone"):
        run_virtual(main())
    assert sorted(seen) == list(range(count))


def test_a_slow_consumer_slows_the_sends() -> None:
    """At most `max_results` outcomes and what is in flight wait for the consumer; the source is read a little ahead."""
    read = 0
    sent = 0

    def source() -> Iterator[int]:
        nonlocal read
        for each in range(10_000):
            read += 1
            yield each

    async def call(item: int) -> int:
        nonlocal sent
        sent += 1
        await current_clock().sleep(0.01)
        return item

    async def main() -> None:
        consumed = 0
        engine = penstock.run(call, source(), retry_on="none", max_in_flight=5, max_results=10)
        async with engine as outcomes:
            async for _ in outcomes:
                consumed += 1
                await current_clock().sleep(1.0)
                assert sent <= consumed + 10 + 5
                assert read <= sent + 2 * 16
                if consumed == 100:
                    break

    run_virtual(main())
    assert sent > 100


def test_a_consumer_that_never_comes_stops_the_sends() -> None:
    """Nobody takes outcomes, so the sends stop at what is bounded."""
    call = ScriptedCall([1], repeat_last=True)

    async def main() -> None:
        async with penstock.run(call, iter(int, 1), retry_on="none", max_in_flight=3, max_results=4):
            await current_clock().sleep(3600)

    run_virtual(main())
    assert 4 <= len(call.calls) <= 4 + 3


def test_an_endless_source_can_be_left() -> None:
    """Breaking out of the loop ends everything: nothing is sent or read afterwards."""
    call = ScriptedCall([After(1.0, 1)], repeat_last=True)

    async def main() -> tuple[int, int]:
        async with penstock.run(call, iter(int, 1), retry_on="none", max_in_flight=3) as outcomes:
            async for _ in outcomes:
                break
        before = len(call.calls)
        await current_clock().sleep(100)
        assert len(asyncio.all_tasks()) == 1
        return before, len(call.calls)

    before, after = run_virtual(main())
    assert before == after
    assert call.in_flight == 0


def test_the_error_of_the_body_comes_out_as_it_is() -> None:
    """An exception in the body ends the run and passes through; it is not wrapped in a group."""
    call = ScriptedCall([Hang()], repeat_last=True)

    async def main() -> None:
        async with penstock.run(call, range(10), retry_on="none", attempt_timeout=None, total_timeout=None):
            await current_clock().sleep(1)
            raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        run_virtual(main())
    assert call.in_flight == 0


def test_a_source_is_closed_when_its_run_is_left_early() -> None:
    """The clean-up of an async generator runs before the context is left, not when the collector finds it."""
    closed: list[str] = []

    async def source() -> AsyncIterator[int]:
        try:
            while True:
                yield 1
        finally:
            await current_clock().sleep(0.5)
            closed.append("closed")

    async def leave(how: str) -> None:
        async with penstock.run(slow_echo, source(), retry_on="none", max_in_flight=2) as outcomes:
            async for _ in outcomes:
                if how == "break":
                    break
                outcomes.stop()
        assert closed == ["closed"]
        assert len(asyncio.all_tasks()) == 1

    for how in ("break", "stop"):
        closed.clear()
        run_virtual(leave(how))


def test_a_batch_source_is_closed_when_its_run_is_left_early() -> None:
    """The file that a batch source reads is closed with the run."""
    source = Batches(10_000, 10)

    async def main() -> None:
        async with penstock.run(echo, source, retry_on="none") as outcomes:
            async for _ in outcomes:
                break
        assert source.closed

    run_virtual(main())


def test_stop_lets_what_is_in_flight_end_and_sends_nothing_new() -> None:
    """After stop() the outcomes of what was sent still come, and then the iteration ends."""
    call = ScriptedCall([After(10.0, "answer")], repeat_last=True)

    async def main() -> tuple[int, int, bool, list[bool]]:
        got = []
        async with penstock.run(call, range(1000), retry_on="none", max_in_flight=7) as outcomes:
            await current_clock().sleep(5.0)
            outcomes.stop()
            sent = len(call.calls)
            async for outcome in outcomes:
                got.append(outcome.ok)
        return sent, len(call.calls), outcomes.complete, got

    sent, in_the_end, complete, got = run_virtual(main())
    assert sent == in_the_end == 7
    assert got == [True] * 7
    assert not complete


def test_stop_ends_those_who_wait_for_the_limit() -> None:
    """A slot that waits for a permit is let go at once by stop(), without sending."""
    call = ScriptedCall([After(1.0, "answer")], repeat_last=True)

    async def main() -> float:
        async with penstock.run(call, range(1000), retry_on="none", limit="1/h") as outcomes:
            await current_clock().sleep(5.0)
            outcomes.stop()
            assert [o.ok async for o in outcomes] == [True]
        return current_clock().now()

    assert run_virtual(main()) == 5.0
    assert len(call.calls) == 1


def test_stop_drops_retries_that_wait() -> None:
    """An item between two attempts has no outcome when the run stops: the next start takes it up again."""

    async def main() -> list[Any]:
        call = ScriptedCall([TimeoutError()], repeat_last=True)
        async with penstock.run(call, range(3), retry_on="transient", max_attempts=100, total_timeout=None) as outcomes:
            await current_clock().sleep(0.0)
            outcomes.stop()
            return [o async for o in outcomes]

    assert run_virtual(main()) == []


def test_stop_ends_a_run_whose_source_is_silent() -> None:
    """A source that waits for ever (a queue) must not keep a stopped run from ending."""

    async def silent() -> AsyncIterator[int]:
        yield 1
        await asyncio.get_running_loop().create_future()

    async def main() -> int:
        count = 0
        async with penstock.run(echo, silent(), retry_on="none") as outcomes:
            async for _ in outcomes:
                count += 1
                outcomes.stop()
        return count

    assert run_virtual(main()) == 1


@pytest.mark.parametrize("after", [0.0, 0.5])
def test_stop_at_the_very_start_ends_the_run(after: float) -> None:
    """stop() before anything ran, or before the source said anything, ends the iteration."""

    async def source() -> AsyncIterator[int]:
        await current_clock().sleep(1.0)
        yield 1

    async def main() -> list[Any]:
        async with penstock.run(echo, source(), retry_on="none") as outcomes:
            if after:
                await current_clock().sleep(after)
            outcomes.stop()
            outcomes.stop()
            return [o async for o in outcomes]

    assert run_virtual(main()) == []


def test_a_call_that_swallows_its_cancellation_does_not_keep_the_run_going() -> None:
    """Leaving the context ends the run although calls return in the face of a cancellation."""
    calls = 0

    async def stubborn(item: int) -> int:
        nonlocal calls
        calls += 1
        try:
            await current_clock().sleep(10)
        except asyncio.CancelledError:
            return -1
        return item

    async def main() -> None:
        async with penstock.run(stubborn, range(1000), retry_on="none", max_in_flight=4) as outcomes:
            async for _ in outcomes:
                break

    run_virtual(main())
    assert calls <= 8


def test_a_call_that_swallows_its_attempt_timeout_loses_nothing() -> None:
    """A call that answers after it was cancelled by the attempt timeout has answered; later timeouts still work."""

    async def call(item: int) -> str:
        if item % 2:
            await asyncio.get_running_loop().create_future()
        try:
            await current_clock().sleep(100)
        except asyncio.CancelledError:
            return "late"
        return "in time"

    outcomes = run_virtual(run_all(call, range(6), max_in_flight=1, attempt_timeout=1.0))
    assert [(o.ok, o.kind, o.value) for o in outcomes] == [(True, "", "late"), (False, "timeout", None)] * 3


def test_iterating_without_the_context_says_how_it_is_done() -> None:
    """`async for` over a run that was not entered is refused instead of waiting for ever."""

    async def main() -> None:
        async for _ in penstock.run(echo, range(3), retry_on="none"):
            pass

    with pytest.raises(penstock.UsageError, match="async with"):
        run_virtual(main())


def test_iterating_after_the_context_ends_at_once() -> None:
    """What had come before the context was left can still be taken; then the iteration is over."""

    async def main() -> int:
        async with penstock.run(slow_echo, range(1000), retry_on="none", max_in_flight=3) as outcomes:
            await current_clock().sleep(1.5)
        return len([o async for o in outcomes])

    assert run_virtual(main()) == 3


def test_a_run_cancelled_anywhere_leaves_nothing() -> None:
    """Cancel a run at every step of the loop: no call in flight, no task, nobody waiting at the limiter."""
    state: dict[str, Any] = {}

    async def run() -> None:
        call = ScriptedCall([After(0.3, 1), TimeoutError(), After(0.3, 1)] * 4)
        limiter = penstock.RateLimiter(["5/s"])
        engine = penstock.run(call, range(6), retry_on="transient", limit=limiter, max_in_flight=3)
        state.update(call=call, limiter=limiter, engine=engine)
        await collect(engine)

    def check() -> None:
        if state:
            assert state["call"].in_flight == 0
            assert state["limiter"].waiting == 0
            assert state["engine"].counters.in_flight == 0
            state.clear()

    report = cancel_everywhere(run, check)
    assert report.cancelled > 20


def test_some_hands_out_everything_once() -> None:
    """`some` gives all outcomes that are there, never one twice, and nothing only at the end."""

    async def main() -> list[int]:
        positions: list[int] = []
        async with penstock.run(slow_echo, range(100), retry_on="none", max_in_flight=8, max_results=5) as engine:
            while batch := await engine.some():
                positions += [outcome.position for outcome in batch]
            assert await engine.some() == []
            assert engine.counters.items == 100
            assert engine.complete
        return positions

    assert sorted(run_virtual(main())) == list(range(100))
