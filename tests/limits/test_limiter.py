"""The limiter: in order of asking, exact, with one timer, and nothing is lost to cancellations."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock import RateLimiter, Stopped, StorageError, UsageError
from penstock.clock import current_clock
from penstock.layers.rate_limit import rate_limit
from penstock.limits.shared_window import SharedWindow
from penstock.rules.limits.rate import Limit, Window
from penstock.testing import (
    ManualClock,
    ScriptedCall,
    SlidingLog,
    VirtualTimeLoop,
    cancel_everywhere,
    most_in_any_window,
    run_virtual,
)


async def permits(limiter: RateLimiter, weights: list[int]) -> list[tuple[int, float]]:
    """Ask for all at once; (number of the asker, time) of each permit in the order in which they came."""
    granted: list[tuple[int, float]] = []

    async def ask(number: int, weight: int) -> None:
        await limiter.acquire(weight)
        granted.append((number, current_clock().now()))

    async with asyncio.TaskGroup() as group:
        for number, weight in enumerate(weights):
            group.create_task(ask(number, weight))
    return granted


def test_permits_come_in_the_order_of_asking_and_evenly() -> None:
    """First come, first served, one interval apart, from the first second on."""
    granted = run_virtual(permits(RateLimiter(["10/s"], guard=0.0), [1] * 50))
    assert [number for number, _ in granted] == list(range(50))
    assert [time for _, time in granted] == pytest.approx([0.1 * number for number in range(50)], abs=0.002)


@given(st.lists(st.integers(1, 10), min_size=1, max_size=40))
def test_a_heavy_waiter_is_not_passed(weights: list[int]) -> None:
    """Whatever the weights, permits come in order, the limit holds, and everybody is served."""
    granted = run_virtual(permits(RateLimiter(["10/s", "30/5s"], guard=0.0), weights))
    assert [number for number, _ in granted] == list(range(len(weights)))
    sends = [time for number, time in granted for _ in range(weights[number])]
    assert most_in_any_window(sends, 1.0) <= 10
    assert most_in_any_window(sends, 5.0) <= 30


def test_nobody_who_comes_later_passes_those_who_wait() -> None:
    """A permit that has just become free belongs to the first who waits, not to whoever asks at that moment."""
    limiter = RateLimiter(["1/s"], guard=0.0)

    async def main() -> None:
        await limiter.acquire()
        waiting = asyncio.create_task(limiter.acquire())
        await current_clock().sleep(0.5)
        assert not limiter.try_acquire(current_clock().now() + 10)
        await current_clock().sleep(0.5)
        # Due at this very moment, granted or not.
        assert not limiter.try_acquire(current_clock().now() + 10) or waiting.done()
        await waiting

    run_virtual(main())


def test_a_permit_under_way_is_ahead_of_who_asks_now() -> None:
    """After a stall of the loop between a grant and its send, nobody is let through on the unstamped log."""
    limiter = RateLimiter(["1/s"], guard=0.0)
    sends: list[float] = []
    offset = 0.0

    class StallingClock:
        def now(self) -> float:
            return asyncio.get_running_loop().time() + offset

        def wall(self) -> float:
            return self.now()

        async def sleep(self, seconds: float) -> None:
            await asyncio.sleep(seconds)

    async def ask() -> None:
        await limiter.acquire()
        sends.append(clock.now())

    async def main() -> None:
        nonlocal offset
        asyncio.get_running_loop().penstock_clock = clock  # type: ignore[attr-defined]
        await ask()
        waiting = asyncio.create_task(ask())
        while limiter.waiting != 1:
            await asyncio.sleep(0)
        while limiter.waiting:
            await asyncio.sleep(0.01 if asyncio.get_running_loop().time() < 0.98 else 0.0001)
            # The dispatcher may have run in this very step of the loop; the waiter has not.
            if not limiter.waiting and not waiting.done():
                offset = 1.5
                if limiter.try_acquire(clock.now()):
                    sends.append(clock.now())
        await waiting

    clock = StallingClock()
    run_virtual(main())
    assert most_in_any_window(sorted(sends), 1.0) <= 1


@pytest.mark.parametrize("count", [1, 100, 10_000])
def test_one_timer_serves_all_waiters(count: int) -> None:
    """However many wait, the limiter sets about one timer for each permit it gives, not one for each waiter."""
    timers = 0

    class CountingLoop(VirtualTimeLoop):
        def call_later(self, *args: Any, **kwargs: Any) -> asyncio.TimerHandle:  # type: ignore[override]
            nonlocal timers
            timers += 1
            return super().call_later(*args, **kwargs)

    async def main() -> None:
        limiter = RateLimiter(["10/s"])
        tasks = [asyncio.create_task(limiter.acquire()) for _ in range(count)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert timers <= 1
        assert limiter.waiting == count - 1
        while not tasks[min(count, 50) - 1].done():
            await asyncio.sleep(0.5)
        assert timers <= 60 + 12
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert limiter.waiting == 0

    with asyncio.Runner(loop_factory=CountingLoop) as runner:
        runner.run(main())


def test_cancelled_waiters_give_their_place_back_at_every_step() -> None:
    """Cancel an acquire at any step, also when its permit was just granted: the next gets it at its time."""
    state: dict[str, Any] = {}

    async def ask() -> None:
        limiter = RateLimiter(["2/s", "20/min"], guard=0.0)
        state["limiter"] = limiter
        await limiter.acquire()
        await limiter.acquire(2)
        await limiter.acquire()

    async def check() -> None:
        limiter = state.pop("limiter", None)
        if limiter is None:
            return
        assert limiter.waiting == 0
        start = current_clock().now()
        await limiter.acquire()
        # One interval of the minute's limit after the last at most, were a lost permit not in between.
        assert current_clock().now() - start <= 6.0 + 1e-6

    assert cancel_everywhere(ask, check).cancelled >= 4


@given(
    weights=st.lists(st.integers(1, 4), min_size=2, max_size=25),
    cancelled=st.sets(st.integers(0, 24)),
    at=st.floats(0, 8),
)
def test_cancellations_break_no_limit_and_lose_no_permit(weights: list[int], cancelled: set[int], at: float) -> None:
    """Some of those who wait give up: the others are served in order, within the limit, and nobody waits longer."""
    limiter = RateLimiter(["4/s"], guard=0.0)
    granted: list[tuple[int, float]] = []

    async def ask(number: int) -> None:
        await limiter.acquire(weights[number])
        granted.append((number, current_clock().now()))

    async def main() -> None:
        tasks = [asyncio.create_task(ask(number)) for number in range(len(weights))]
        await current_clock().sleep(at)
        for number in cancelled & set(range(len(tasks))):
            tasks[number].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    run_virtual(main())
    numbers = [number for number, _ in granted]
    assert numbers == sorted(numbers)
    assert set(numbers) | cancelled >= set(range(len(weights)))
    sends = [time for number, time in granted for _ in range(weights[number])]
    assert most_in_any_window(sends, 1.0) <= 4
    assert limiter.waiting == 0
    # The heaviest takes a whole window, so nobody costs those behind him more than that.
    assert not granted or granted[-1][1] <= at + len(weights)


def test_the_one_behind_a_cancelled_heavy_head_goes_at_once() -> None:
    """When a heavy waiter at the head gives up, a light one behind it need not wait for the heavy one's time."""
    limiter = RateLimiter(["10/10s"], guard=0.0)

    async def main() -> float:
        await limiter.acquire(5)
        heavy = asyncio.create_task(limiter.acquire(10))
        light = asyncio.create_task(limiter.acquire(1))
        await current_clock().sleep(6.0)
        heavy.cancel()
        await light
        return current_clock().now()

    assert run_virtual(main()) == pytest.approx(6.0, abs=0.002)


def test_a_pause_holds_everybody_and_is_never_shortened() -> None:
    """No permit before the pause ends; a shorter one that comes later changes nothing."""
    limiter = RateLimiter(["10/s"], guard=0.0)

    async def main() -> list[tuple[int, float]]:
        asking = asyncio.create_task(permits(limiter, [1] * 10))
        await current_clock().sleep(0.25)
        limiter.pause_until(20.0)
        limiter.pause_until(5.0)
        limiter.pause_until(math.nan)
        assert limiter.paused_until == 20.0
        assert limiter.statistics().paused_for == pytest.approx(19.75)
        assert not limiter.try_acquire(19.9)
        return await asking

    granted = run_virtual(main())
    assert [number for number, _ in granted] == list(range(10))
    assert [time for _, time in granted[:3]] == pytest.approx([0.0, 0.1, 0.2], abs=0.002)
    assert [time for _, time in granted[3:]] == pytest.approx([20.0 + 0.1 * k for k in range(7)], abs=0.002)


def test_a_pause_holds_without_any_limit_too() -> None:
    """A limiter without limits lets everything through, but a pause holds."""
    limiter = RateLimiter()

    async def main() -> list[tuple[int, float]]:
        await limiter.acquire()
        limiter.pause_until(7.0)
        return await permits(limiter, [1, 1, 1])

    assert [time for _, time in run_virtual(main())] == [7.0, 7.0, 7.0]


def test_a_pause_before_anybody_asked_holds() -> None:
    """pause_until works on a limiter that was never used."""
    limiter = RateLimiter(["10/s"])
    limiter.pause_until(3.0)
    assert run_virtual(permits(limiter, [1]))[0][1] == 3.0


def test_several_limits_are_taken_all_or_none() -> None:
    """A waiter for one limit takes nothing from the other meanwhile."""
    limiter = RateLimiter(["5/s", "6/10s"], guard=0.0)
    granted = run_virtual(permits(limiter, [1] * 18))
    sends = [time for _, time in granted]
    assert most_in_any_window(sends, 1.0) <= 5
    assert most_in_any_window(sends, 10.0) <= 6
    assert sends[-1] == pytest.approx(17 * 10 / 6, abs=0.1)


def test_dismiss_lets_everybody_go_without_a_permit() -> None:
    """Those who wait get Stopped; the permits they had not are there for those who come."""
    limiter = RateLimiter(["1/s"], guard=0.0)

    async def main() -> float:
        await limiter.acquire()
        tasks = [asyncio.create_task(limiter.acquire()) for _ in range(5)]
        await current_clock().sleep(0.5)
        limiter.dismiss()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(each) for each in results] == [Stopped] * 5
        assert limiter.waiting == 0
        await limiter.acquire()
        return current_clock().now()

    assert run_virtual(main()) == pytest.approx(1.0, abs=0.002)


def test_dismiss_of_an_owner_leaves_the_others() -> None:
    """Only those who asked in that name are let go."""
    limiter = RateLimiter(["1/s"], guard=0.0)

    async def main() -> list[Any]:
        await limiter.acquire()
        tasks = [asyncio.create_task(limiter.acquire(owner=name)) for name in ("a", "b", "a", "b")]
        await current_clock().sleep(0.5)
        limiter.dismiss("a")
        return await asyncio.gather(*tasks, return_exceptions=True)

    assert [type(each).__name__ for each in run_virtual(main())] == ["Stopped", "Grant", "Stopped", "Grant"]


def test_a_weight_that_can_never_be_allowed_is_refused_at_once() -> None:
    """Instead of a wait for ever there is a UsageError, and nothing was taken."""
    limiter = RateLimiter(["5/s", "100/min"])

    async def main() -> None:
        for weight in (0, -1, 6):
            with pytest.raises(UsageError):
                await limiter.acquire(weight)
        assert limiter.waiting == 0
        assert limiter.try_acquire(current_clock().now())

    run_virtual(main())


def test_statistics_and_repr_say_what_is_going_on() -> None:
    """Counters can be read at any moment, and the repr shows them."""
    limiter = RateLimiter(["2/s", Limit(100, 60.0), Window(Limit(5, 2.0))])

    async def main() -> None:
        await limiter.acquire()
        waiting = [asyncio.create_task(limiter.acquire()) for _ in range(3)]
        await asyncio.sleep(0)
        statistics = limiter.statistics()
        assert (statistics.waiting, statistics.sent, statistics.paused_for) == (3, 1, 0.0)
        assert repr(limiter) == "<RateLimiter 2/s, 100/min, 5/2s: 3 waiting>"
        await asyncio.gather(*waiting)

    run_virtual(main())
    assert repr(RateLimiter()) == "<RateLimiter no limit: 0 waiting>"


def test_the_layer_keeps_a_strict_server_content() -> None:
    """A thousand calls at once through one layer: a strict sliding log sees no violation."""
    server = SlidingLog(50, 1.0)
    refused: list[float] = []

    async def call(item: str) -> int:
        wait = server.arrive(current_clock().now())
        if wait is not None:
            refused.append(wait)
        return len(item)

    async def main() -> list[int]:
        limited = rate_limit(RateLimiter(["50/s"]))(call)
        return await asyncio.gather(*(limited("x" * (number % 7)) for number in range(1000)))

    assert run_virtual(main()) == [number % 7 for number in range(1000)]
    assert not refused


def test_the_layer_cancelled_anywhere_leaves_nobody_waiting() -> None:
    """Cancel calls through the layer at every step: no call in flight, nobody waits."""
    state: dict[str, Any] = {}

    async def run() -> None:
        limiter, call = RateLimiter(["2/s"]), ScriptedCall([1], repeat_last=True)
        state.update(limiter=limiter, call=call)
        limited = rate_limit(limiter)(call)
        async with asyncio.TaskGroup() as group:
            for _ in range(4):
                group.create_task(limited("x"))  # type: ignore[arg-type]

    def check() -> None:
        if state:
            assert state["limiter"].waiting == 0
            assert state["call"].in_flight == 0

    cancel_everywhere(run, check)


def test_a_permit_that_is_given_back_is_the_next_ones() -> None:
    """Its place in the window and in the pace, and that of the probe whose answer the others wait for."""
    limiter = RateLimiter(["1/s"], guard=0.0)

    async def main() -> list[float]:
        clock = current_clock()
        await limiter.acquire()
        limiter.throttled(5.0, clock.now(), 0.5)
        limiter.give_back(await limiter.acquire())
        times = [clock.now()]
        await limiter.acquire()
        times.append(clock.now())
        limiter.answered(clock.now())
        await limiter.acquire()
        return [*times, clock.now()]

    first, again, after = run_virtual(main())
    assert first == again == pytest.approx(5.0, abs=0.01)
    assert after == pytest.approx(6.0, abs=0.01)


def test_a_shared_log_that_fails_while_somebody_waits_is_told_to_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a timer there is nobody to raise to: whoever waits would wait for ever."""
    tmp_path.chmod(0o700)
    monkeypatch.setenv("PENSTOCK_LIMITS", str(tmp_path))

    async def main() -> list[BaseException | Any]:
        limiter = RateLimiter(["1/2s@x"])
        await limiter.acquire()
        tasks = [asyncio.create_task(limiter.acquire()) for _ in range(3)]
        await asyncio.sleep(0.1)
        (tmp_path / "x.log").unlink()
        tmp_path.chmod(0o777)
        async with asyncio.timeout(10):
            return await asyncio.gather(*tasks, return_exceptions=True)

    assert [type(each) for each in asyncio.run(main())] == [StorageError] * 3


def test_a_refused_try_keeps_nothing_of_a_shared_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second call that was not made must not cost the other processes a place."""
    tmp_path.chmod(0o700)
    monkeypatch.setenv("PENSTOCK_LIMITS", str(tmp_path))
    clock = ManualClock(start=100.0)
    one, other = (RateLimiter([SharedWindow(Limit(10, 1.0, "x"), clock=clock)]) for _ in range(2))
    assert one.try_acquire(clock.now())
    clock.advance(0.06)
    assert not one.try_once(clock.now())
    clock.advance(0.05)
    assert other.try_once(clock.now())
