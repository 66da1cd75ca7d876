"""A dead credential does not burn the input: what was refused is left, and what is an item's own fault stays so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest

import penstock
from penstock import Denied, PenstockError, Response, StatusError, TooManyFailures
from penstock.clock import current_clock
from penstock.testing import run_virtual

Answer = Callable[[int, int], int]
"""(item, number of the call from 1) -> status."""


async def drive(
    answer: Answer, items: Any, *, takes: float = 0.1, **options: Any
) -> tuple[list[Any], list[int], Exception | None, float]:
    """(outcomes, items in the order of their calls, what ended the run, seconds)."""
    calls: list[int] = []

    async def call(item: int) -> Response:
        calls.append(item)
        status = answer(item, len(calls))
        await current_clock().sleep(takes)
        return Response(status)

    began, outcomes = current_clock().now(), []
    settings = {"retry_on": "safe", "max_in_flight": 50, "stop_after_denied": 20, **options}
    async with penstock.run(call, items, **settings) as run:
        try:
            async for outcome in run:
                outcomes.append(outcome)
        except PenstockError as error:
            assert not run.complete
            return outcomes, calls, error, current_clock().now() - began
        assert run.complete
    return outcomes, calls, None, current_clock().now() - began


@pytest.mark.parametrize("status", [401, 403, 407])
@pytest.mark.parametrize("in_flight", [1, 7, 50, 1000, "auto"])
def test_a_dead_credential_ends_the_run_after_as_many_calls_as_show_it(status: int, in_flight: Any) -> None:
    """And none of its items has an outcome."""
    outcomes, calls, error, _ = run_virtual(drive(lambda item, call: status, range(3000), max_in_flight=in_flight))
    assert isinstance(error, Denied)
    assert (error.count, error.status) == (20, status)
    assert len(calls) <= 40
    assert outcomes == []


def test_a_credential_that_dies_in_the_middle_loses_no_item() -> None:
    """Every item has its outcome, or was left; those that were refused are left."""
    outcomes, calls, error, _ = run_virtual(drive(lambda item, call: 200 if call <= 500 else 401, range(3000)))
    assert isinstance(error, Denied)
    assert len(outcomes) == 500
    assert all(outcome.ok for outcome in outcomes)
    # Answers to the calls before come for as long as those are under way; then it takes twenty.
    assert len(calls) <= 500 + 2 * 50 + 20


def test_a_refusal_of_an_items_own_is_a_failure_as_ever() -> None:
    """Every tenth, and a row of nineteen: what was held back comes, each once."""
    own = {*range(0, 1000, 10), *range(500, 519)}
    outcomes, _, error, _ = run_virtual(drive(lambda item, call: 403 if item in own else 200, range(1000)))
    assert error is None
    assert sorted(outcome.position for outcome in outcomes) == list(range(1000))
    assert {outcome.position for outcome in outcomes if not outcome.ok} == own


def test_the_last_refusals_of_an_input_are_failures() -> None:
    """Nothing comes after them that would tell."""
    outcomes, _, error, _ = run_virtual(drive(lambda item, call: 401, range(19)))
    assert error is None
    assert [outcome.kind for outcome in outcomes] == ["http_4xx"] * 19


def test_slow_answers_of_before_make_no_failures_of_what_was_refused_since() -> None:
    """They were let pass when the credential was good: every item that was refused is left."""

    async def go() -> tuple[list[Any], Denied]:
        sent = 0

        async def call(item: int) -> Response:
            nonlocal sent
            sent += 1
            if sent == 290:
                # It was sent before the last good ones, and looked at after them.
                await current_clock().sleep(0.5)
                return Response(401)
            if sent > 300:
                return Response(401)
            # So good answers come between the refusals for a while.
            await current_clock().sleep(1 + item % 50 / 10)
            return Response(200)

        outcomes = []
        async with penstock.run(
            call, range(3000), retry_on="none", max_in_flight=200, limit="50/s", stop_after_denied=20
        ) as run:
            try:
                async for outcome in run:
                    outcomes.append(outcome)
            except Denied as error:
                return outcomes, error
        raise AssertionError

    outcomes, _ = run_virtual(go())
    assert len(outcomes) == 299
    assert all(outcome.ok for outcome in outcomes)


@pytest.mark.parametrize("status", [429, 502, 503])
def test_what_says_nothing_of_the_credential_does_not_end_a_row(status: int) -> None:
    """A third of the answers are of a gateway, or refuse for a limit's sake."""

    def answer(item: int, call: int) -> int:
        return status if call % 3 == 0 else 401

    _, calls, error, _ = run_virtual(drive(answer, range(3000), retry_on="none", max_in_flight=5))
    assert isinstance(error, Denied)
    assert len(calls) <= 40


def test_it_can_be_turned_off_and_other_numbers_be_given() -> None:
    """0 is never."""
    outcomes, _, error, _ = run_virtual(drive(lambda item, call: 401, range(300), stop_after_denied=0))
    assert error is None
    assert len(outcomes) == 300
    _, calls, error, _ = run_virtual(drive(lambda item, call: 401, range(300), stop_after_denied=3))
    assert isinstance(error, Denied)
    assert len(calls) <= 6


def test_an_exception_with_a_status_is_an_answer_too() -> None:
    """Callables of users raise."""

    async def call(item: int) -> int:
        raise StatusError(status=401)

    async def go() -> None:
        async with penstock.run(call, range(100), retry_on="safe", stop_after_denied=20) as run:
            with pytest.raises(Denied, match="refused 20 times in a row"):
                await anext(run)

    run_virtual(go())


@pytest.mark.parametrize("takes", [0.02, 0.3, 30.0])
def test_an_honest_run_is_held_up_for_half_a_second_at_most(takes: float) -> None:
    """Also one whose API takes its time: it is the first answers alone that are waited for."""
    with_it = run_virtual(drive(lambda item, call: 200, range(3000), takes=takes, limit="100/s", max_in_flight=4000))
    without = run_virtual(
        drive(lambda item, call: 200, range(3000), takes=takes, limit="100/s", max_in_flight=4000, stop_after_denied=0)
    )
    assert len(with_it[0]) == len(without[0]) == 3000
    assert with_it[3] - without[3] <= 0.8


def test_whoever_waits_for_what_is_held_back_does_not_wait_for_ever() -> None:
    """A source that asks for more when it knows what became of the first."""
    news = asyncio.Event()

    async def go() -> list[int]:
        async def items() -> AsyncIterator[int]:
            yield 0
            await news.wait()
            yield 1

        async def call(item: int) -> Response:
            return Response(403)

        seen = []
        async with penstock.run(call, items(), retry_on="none", stop_after_denied=20) as run:
            async for outcome in run:
                seen.append(outcome.position)
                news.set()
        return seen

    assert run_virtual(go()) == [0, 1]


@pytest.mark.parametrize("statuses", [[404], [500], [404, 401, 200], [400, 403]])
def test_so_many_failures_in_all_end_a_run(statuses: list[int]) -> None:
    """Of whatever kind; what failed stays failed, and what is in flight comes to its outcome."""
    outcomes, calls, error, _ = run_virtual(
        drive(
            lambda item, call: statuses[call % len(statuses)],
            range(3000),
            retry_on="none",
            stop_after_failures=100,
            max_in_flight=10,
        )
    )
    assert isinstance(error, TooManyFailures)
    assert error.count == 100
    failed = [outcome for outcome in outcomes if not outcome.ok]
    assert 100 <= len(failed) <= 110
    assert len({outcome.position for outcome in outcomes}) == len(outcomes)
    assert len(calls) - len(outcomes) <= 20


@pytest.mark.parametrize("wrong", [-1, "20", 2.5])
@pytest.mark.parametrize("name", ["stop_after_denied", "stop_after_failures"])
def test_what_is_no_number_is_refused(name: str, wrong: Any) -> None:
    """With the name of the argument."""

    async def call(item: int) -> Awaitable[int]:
        raise AssertionError

    with pytest.raises(penstock.UsageError, match=name):
        penstock.run(call, [], retry_on="none", **{name: wrong})


@pytest.mark.parametrize(
    ("feeds_back", "window", "ends"), [(True, 1, 3), (True, 2, 4), (True, 8, 8), (False, 1, 20), (False, 8, 20)]
)
def test_where_all_that_could_be_asked_was_refused_a_few_are_enough(feeds_back: bool, window: int, ends: int) -> None:
    """Pages come in windows, and say so; what was let go as failures before counts on."""
    news: asyncio.Queue[None] = asyncio.Queue(window)

    async def batches() -> AsyncIterator[list[penstock.Item[int]]]:
        for number in range(100):
            await news.put(None)
            yield [penstock.Item(number, number)]

    async def go() -> tuple[list[int], list[int], int]:
        calls, seen = list[int](), list[int]()

        async def call(item: int) -> Response:
            calls.append(item)
            await current_clock().sleep(0.01)
            return Response(401)

        source: Any = SimpleNamespace(batches=batches, feeds_back=feeds_back)
        async with penstock.run(call, source, retry_on="none", stop_after_denied=20) as run:
            try:
                async for outcome in run:
                    seen.append(outcome.position)
                    news.get_nowait()
            except Denied as error:
                return seen, calls, error.count
        raise AssertionError

    seen, made, count = run_virtual(go())
    calls = len(made)
    assert count == ends
    assert len(seen) < ends <= calls < ends + window
