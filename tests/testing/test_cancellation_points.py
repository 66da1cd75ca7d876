"""The tool that cancels everywhere finds what it is there to find."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from penstock.testing import Deadlock, cancel_everywhere


class Pool:
    """A permit handed from one task to the next; `careful` gives it back when the receiver was cancelled."""

    def __init__(self, careful: bool) -> None:
        self.careful = careful
        self.taken = 0

    async def use(self) -> None:
        handed = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(1, self._hand, handed)
        try:
            await handed
        except asyncio.CancelledError:
            if self.careful and handed.done() and not handed.cancelled():
                self.taken -= 1
            raise
        try:
            await asyncio.sleep(1)
        finally:
            self.taken -= 1

    def _hand(self, handed: asyncio.Future[None]) -> None:
        if not handed.done():
            self.taken += 1
            handed.set_result(None)


def pool_run(careful: bool) -> tuple[int, list[int]]:
    pools: list[Pool] = []
    leaks: list[int] = []

    def make() -> Coroutine[Any, Any, None]:
        pools.append(Pool(careful))
        return pools[-1].use()

    report = cancel_everywhere(make, lambda: leaks.append(pools[-1].taken))
    return report.cancelled, leaks


def test_a_permit_lost_between_grant_and_wakeup_is_found() -> None:
    _, leaks = pool_run(careful=False)
    assert 1 in leaks
    assert leaks[-1] == 0


def test_code_that_is_careful_passes_at_every_point() -> None:
    points, leaks = pool_run(careful=True)
    assert points >= 5
    assert leaks == [0] * (points + 1)


def test_a_swallowed_cancellation_is_found_and_located() -> None:
    async def swallows() -> None:
        await asyncio.sleep(1)
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            return

    with pytest.raises(AssertionError, match="swallowed: the coroutine returned") as caught:
        cancel_everywhere(swallows, lambda: None)
    assert "at step" in caught.value.__notes__[0]


def test_another_ending_is_refused_unless_it_is_expected() -> None:
    async def translates() -> None:
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            raise KeyError("mine") from None

    with pytest.raises(AssertionError, match="KeyError"):
        cancel_everywhere(translates, lambda: None)
    assert cancel_everywhere(translates, lambda: None, may_end_with=(KeyError,)).cancelled >= 2


def test_a_task_left_behind_is_found() -> None:
    kept: list[asyncio.Task[None]] = []

    async def leaves() -> None:
        kept.append(asyncio.create_task(asyncio.sleep(100)))
        await asyncio.sleep(1)
        kept[-1].cancel()

    with pytest.raises(AssertionError, match="left running"):
        cancel_everywhere(leaves, lambda: None)
    cancel_everywhere(leaves, lambda: None, may_leave_tasks=True)


def test_check_may_be_async_and_its_failure_comes_out() -> None:
    async def waits() -> None:
        await asyncio.sleep(1)

    async def check() -> None:
        await asyncio.sleep(5)
        raise LookupError("not clean")

    with pytest.raises(LookupError, match="not clean"):
        cancel_everywhere(waits, check)


def test_an_error_of_the_undisturbed_run_comes_out() -> None:
    async def fails() -> None:
        await asyncio.sleep(0)
        raise LookupError("always")

    with pytest.raises(LookupError, match="always"):
        cancel_everywhere(fails, lambda: None)


def test_a_coroutine_stuck_after_its_cancellation_is_a_deadlock() -> None:
    async def stuck() -> None:
        try:
            await asyncio.sleep(1)
        finally:
            await asyncio.get_running_loop().create_future()

    with pytest.raises(Deadlock) as caught:
        cancel_everywhere(stuck, lambda: None)
    assert any("at step" in note for note in caught.value.__notes__)


def test_endless_code_ends() -> None:
    async def endless() -> None:
        while True:
            await asyncio.sleep(1)

    with pytest.raises(AssertionError, match="not done after 10 steps"):
        cancel_everywhere(endless, lambda: None, most_points=10)
