"""Each layer works around any async callable, keeps its state to the call, and leaves nothing behind when cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from penstock import AttemptTimeout, ConnectionLost, RateLimiter, RetryOn, StatusError, TotalTimeout, UsageError, stack
from penstock.call import Call, Layer
from penstock.clock import current_clock
from penstock.layers.attempt_timeout import attempt_timeout
from penstock.layers.attempt_timer import AttemptTimer
from penstock.layers.concurrency_limit import concurrency_limit
from penstock.layers.retry import retry
from penstock.layers.total_timeout import total_timeout
from penstock.rules.retries.retry import RetryPolicy
from penstock.stacks import outbound_stack, retry_on
from penstock.testing import After, Hang, ScriptedCall, cancel_everywhere, run_virtual


async def length(text: str) -> int:
    await current_clock().sleep(0.1)
    return len(text)


def all_of(call: Call[str, int]) -> Call[str, int]:
    return outbound_stack(
        call,
        classify=retry_on(RetryOn.TRANSIENT),
        limiter=RateLimiter(["1000/s"]),
        max_in_flight=100,
        attempt_timeout=1.0,
        total_timeout=100.0,
    )


LAYERS: dict[str, Layer[str, int]] = {
    "attempt_timeout": attempt_timeout(1.0),
    "total_timeout": total_timeout(1.0),
    "concurrency_limit": concurrency_limit(1000),
    "retry": retry(retry_on(ValueError)),
    "outbound_stack": all_of,
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_thousand_calls_at_once_through_one_instance(name: str) -> None:
    """One instance serves many calls at once; each gets its own answer."""
    layered = LAYERS[name](length)

    async def main() -> list[int]:
        return await asyncio.gather(*(layered("x" * number) for number in range(1000)))

    assert run_virtual(main()) == list(range(1000))


@pytest.mark.parametrize("name", LAYERS)
def test_an_error_passes_through_unchanged(name: str) -> None:
    """What the inner call raises comes out as it is, where the layer does not deal with it."""
    error = KeyError("mine")

    async def failing(text: str) -> int:
        raise error

    with pytest.raises(KeyError) as caught:
        run_virtual(_awaited(LAYERS[name](failing), "x"))
    assert caught.value is error


@pytest.mark.parametrize("name", LAYERS)
def test_a_timeout_of_the_call_itself_is_not_taken_for_the_layers_own(name: str) -> None:
    """TimeoutError from inside stays TimeoutError."""
    call: Any = ScriptedCall([TimeoutError("inner")], repeat_last=True)
    with pytest.raises(TimeoutError, match="inner"):
        run_virtual(_awaited(LAYERS[name](call), "x"))


async def _awaited(call: Callable[[str], Awaitable[int]], item: str) -> int:
    return await call(item)


@pytest.mark.parametrize("name", LAYERS)
def test_cancelled_anywhere_nothing_is_in_flight(name: str) -> None:
    """Cancel at every step: the inner calls have ended, and the cancellation comes out."""
    state: list[ScriptedCall] = []

    async def run() -> None:
        call = ScriptedCall([After(0.2, 1), ValueError(), After(0.1, 2), ValueError()] * 3, repeat_last=True)
        state.append(call)
        layered: Call[str, int] = LAYERS[name](call)
        await asyncio.gather(*(layered("x") for _ in range(4)), return_exceptions=True)

    def check() -> None:
        assert all(call.in_flight == 0 for call in state)

    assert cancel_everywhere(run, check).cancelled >= 1


def test_attempt_timeout_cancels_and_names_the_time() -> None:
    """A call that hangs ends after the timeout, cancelled, with AttemptTimeout."""
    call: Any = ScriptedCall([Hang()])

    async def main() -> float:
        with pytest.raises(AttemptTimeout, match=r"within 2\.5 s"):
            await attempt_timeout(2.5)(call)("x")
        return current_clock().now()

    assert run_virtual(main()) == 2.5
    assert call.in_flight == 0


def test_total_timeout_bounds_retries_and_pauses() -> None:
    """All attempts and pauses together end at the total timeout."""
    call: Any = ScriptedCall([ConnectionLost("again")], repeat_last=True)
    policy = RetryPolicy(max_attempts=1000, total_timeout=None)
    layered: Call[str, int] = stack(call, [total_timeout(10.0), retry(retry_on(ConnectionLost), policy)])

    async def main() -> float:
        with pytest.raises(TotalTimeout):
            await layered("x")
        return current_clock().now()

    assert run_virtual(main()) == 10.0


def test_nested_timeouts_know_their_own() -> None:
    """The inner and the outer timeout each raise their own error."""
    call: Any = ScriptedCall([Hang()], repeat_last=True)
    inner_first: Call[str, int] = stack(call, [total_timeout(5.0), attempt_timeout(1.0)])
    outer_first: Call[str, int] = stack(call, [total_timeout(1.0), attempt_timeout(5.0)])
    with pytest.raises(AttemptTimeout):
        run_virtual(_awaited(inner_first, "x"))
    with pytest.raises(TotalTimeout):
        run_virtual(_awaited(outer_first, "x"))


@pytest.mark.parametrize("most", [1, 3])
def test_concurrency_limit_is_filled_and_never_exceeded(most: int) -> None:
    """At most so many at once, the others in order."""
    call: Any = ScriptedCall([After(1.0, 1)], repeat_last=True)

    async def main() -> None:
        limited: Call[str, int] = concurrency_limit(most)(call)
        await asyncio.gather(*(limited(str(number)) for number in range(10)))

    run_virtual(main())
    assert call.max_in_flight == most
    assert call.requests == [str(number) for number in range(10)]


@pytest.mark.parametrize("most", [0, -1])
def test_a_concurrency_limit_of_nothing_is_refused(most: int) -> None:
    """Zero is not "off"."""
    with pytest.raises(UsageError):
        concurrency_limit(most)


@pytest.mark.parametrize(
    ("what", "error", "attempts"),
    [
        (ValueError, ValueError(), 4),
        (ValueError, KeyError(), 1),
        ((KeyError, ValueError), KeyError(), 4),
        (RetryOn.NONE, ConnectionLost(""), 1),
        (RetryOn.SAFE, ConnectionLost(""), 1),
        (RetryOn.TRANSIENT, ConnectionLost(""), 4),
        (RetryOn.SAFE, StatusError("", status=429), 4),
        (RetryOn.TRANSIENT, ValueError(), 1),
    ],
)
def test_retry_tries_again_what_it_was_told(what: Any, error: Exception, attempts: int) -> None:
    """The classifier decides; in the end the last exception comes out unchanged."""
    call: Any = ScriptedCall([error], repeat_last=True)
    layered: Call[str, int] = retry(retry_on(what), RetryPolicy(max_attempts=4))(call)
    with pytest.raises(type(error)) as caught:
        run_virtual(_awaited(layered, "x"))
    assert caught.value is error
    assert len(call.calls) == attempts


def test_retry_waits_as_long_as_the_peer_asked() -> None:
    """Retry-After is waited out, not shortened."""
    call: Any = ScriptedCall([StatusError("", status=503, retry_after=40.0), 1])
    layered: Call[str, int] = retry(retry_on(RetryOn.SAFE), chance=lambda: 0.5)(call)
    assert run_virtual(_awaited(layered, "x")) == 1
    assert call.times[1] == pytest.approx(40.25)


def test_stack_puts_the_first_layer_outermost() -> None:
    """The order of the list is the order in which a request meets the layers."""
    seen: list[str] = []

    def named(name: str) -> Layer[str, int]:
        def wrap(inner: Call[str, int]) -> Call[str, int]:
            async def layered(item: str) -> int:
                seen.append(name)
                return await inner(item)

            return layered

        return wrap

    assert run_virtual(_awaited(stack(length, [named("a"), named("b")]), "xyz")) == 3
    assert seen == ["a", "b"]
    assert stack(length, []) is length


class _Timed:
    """Tasks under one AttemptTimer, as the engine uses it."""

    def __init__(self, seconds: float | None) -> None:
        self.timer = AttemptTimer(seconds, current_clock())

    async def attempt(self, call: Callable[[], Awaitable[Any]]) -> Any:
        task = asyncio.current_task()
        assert task is not None
        self.timer.start(task, current_clock().now())
        try:
            return await call()
        except asyncio.CancelledError:
            if self.timer.expired(task):
                return "expired"
            raise
        finally:
            self.timer.stop(task)


def test_the_attempt_timer_ends_each_attempt_at_its_own_time() -> None:
    """Attempts that began at different times expire at different times; those that end before, do not."""

    async def main() -> list[tuple[Any, float]]:
        timed = _Timed(5.0)

        async def one(begin: float, seconds: float) -> tuple[Any, float]:
            await current_clock().sleep(begin)
            result = await timed.attempt(lambda: current_clock().sleep(seconds))
            return result, current_clock().now()

        ends = await asyncio.gather(one(0, 10), one(1, 2), one(2, 10), one(2, 4.999), one(3, 100))
        timed.timer.close()
        return list(ends)

    assert run_virtual(main()) == [("expired", 5.0), (None, 3.0), ("expired", 7.0), (None, 6.999), ("expired", 8.0)]


def test_the_attempt_timer_leaves_a_cancellation_by_others_alone() -> None:
    """A task that somebody else cancels as well stays cancelled."""

    async def main() -> bool:
        timed = _Timed(5.0)
        task = asyncio.create_task(timed.attempt(lambda: current_clock().sleep(10)))
        asyncio.get_running_loop().call_later(5.0, task.cancel)
        await asyncio.wait([task])
        return task.cancelled()

    assert run_virtual(main())


def test_the_attempt_timer_survives_a_call_that_swallows_its_cancellation() -> None:
    """A swallowed timeout leaves the task as it was, so that its next timeout is told from a real cancellation."""

    async def stubborn() -> str:
        try:
            await current_clock().sleep(10)
        except asyncio.CancelledError:
            return "swallowed"
        return "done"

    async def main() -> list[Any]:
        timed = _Timed(5.0)
        task = asyncio.current_task()
        assert task is not None
        results = [await timed.attempt(stubborn), await timed.attempt(lambda: current_clock().sleep(10))]
        return [*results, task.cancelling()]

    assert run_virtual(main()) == ["swallowed", "expired", 0]


def test_an_attempt_timer_without_a_time_never_expires() -> None:
    """None stands for no timeout."""

    async def main() -> Any:
        return await _Timed(None).attempt(lambda: current_clock().sleep(1e9))

    assert run_virtual(main()) is None
