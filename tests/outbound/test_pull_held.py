"""What a plan keeps while a page low down does not come: little, and in little time."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from penstock.outbound.paging import source
from penstock.outbound.paging.countable import CountablePlan
from penstock.outbound.paging.pages import PageNumber
from penstock.outbound.paging.reader import PageAsk
from penstock.testing import run_virtual

from .test_pull_plans import BASE, answer_of


def test_a_page_that_does_not_come_costs_no_quadratic_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each page above it went through all that were kept: 8 ms a page where it should be microseconds."""
    plan, looks = CountablePlan(PageNumber(), BASE), 0

    class Counting(dict[int, int]):
        def items(self) -> Any:
            nonlocal looks
            looks += 1
            return super().items()

    plan.answered(answer_of(plan.asks()[0], ["first"], total=10**6))
    for number in range(2, 9000):
        if not isinstance(plan._owners, Counting):
            plan._owners = Counting(plan._owners)
        plan.answered(answer_of(PageAsk(number, BASE), [str(number)], total=10**6))
    assert looks < 5


def test_pages_that_are_held_back_count_as_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """While page 2 did not come, a thousand repeats of page 3 were asked for, and kept in memory."""
    monkeypatch.setattr(source, "MOST_WAITING_BYTES", 1000)
    plan = CountablePlan(PageNumber(), BASE)

    async def main() -> int:
        batches = source.PageSource(plan).batches()
        (first,) = await anext(batches)
        plan.answered(answer_of(first.value, ["first"], total=10**6))
        asked = 0
        with contextlib.suppress(TimeoutError):
            while asked < 900:
                items = await asyncio.wait_for(anext(batches), 1.0)
                asked += len(items)
                for item in items:
                    if item.position > 1:
                        plan.answered(answer_of(item.value, ["x" * 100], total=10**6))
        return asked

    assert run_virtual(main()) < 50
    assert plan.held_bytes > 1000
