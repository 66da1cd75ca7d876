"""Runs under limits on costs: requests and tokens at once, estimates that are settled, items that cost too much."""

from __future__ import annotations

from typing import Any

import pytest

import penstock
from penstock import RateLimiter, UsageError
from penstock.clock import current_clock
from penstock.engine.costs import CostEstimate
from penstock.errors import InputError
from penstock.messages import Response
from penstock.outbound.interpreter import Interpreter
from penstock.outbound.records import Record
from penstock.rules.limits.cost import read_cost
from penstock.testing import most_in_any_window, run_virtual


class TokenApi:
    """Answers with what a call has cost, and keeps (time of the send, cost) of each."""

    def __init__(self, share: float) -> None:
        self._share = share
        self.spent: list[tuple[float, float]] = []

    async def __call__(self, item: int) -> dict[str, float]:
        """Answer after a second."""
        sent = current_clock().now()
        cost = self._share * estimate(item)
        self.spent.append((sent, cost))
        await current_clock().sleep(1.0)
        return {"tokens": cost}


def estimate(item: int) -> float:
    """What an item is expected to cost."""
    return 100.0 + item % 7


def seconds_of(api: TokenApi, **options: Any) -> float:
    """How long 200 items take under 6,000 tokens and 1,000 calls a minute."""

    async def main() -> float:
        run = penstock.run(
            api, range(200), retry_on="none", limit="1000/min", cost_limit="6000/min", cost=estimate, **options
        )
        async with run as outcomes:
            results = [outcome async for outcome in outcomes]
        assert all(outcome.ok for outcome in results)
        return current_clock().now()

    return run_virtual(main())


def test_estimates_bound_the_rate_where_nothing_says_what_it_was() -> None:
    """Sixty calls a minute of a hundred tokens each, in every minute."""
    api = TokenApi(1.0)
    assert seconds_of(api) >= 180.0
    costs = [cost for _, cost in api.spent]
    times = [time for time, _ in api.spent]
    for first, begin in enumerate(times):
        assert sum(cost for time, cost in zip(times[first:], costs[first:], strict=True) if time < begin + 60) <= 6000


def test_answers_that_say_what_it_was_let_more_through() -> None:
    """At a tenth of the estimate it is about ten times as fast, and still within both limits."""
    api = TokenApi(0.1)
    seconds = seconds_of(api, actual_cost=lambda answer: answer["tokens"])
    assert 12.0 <= seconds <= 40.0
    assert most_in_any_window([time for time, _ in api.spent], 60.0) <= 1000


def test_an_actual_cost_that_raises_leaves_the_estimate() -> None:
    """A function that stumbles over an answer neither fails the item nor loosens the limit."""
    assert seconds_of(TokenApi(0.1), actual_cost=lambda answer: answer["nothing"]) >= 180.0


def test_an_item_that_costs_more_than_the_limit_is_a_bad_record_and_the_others_go_on() -> None:
    """It could wait for ever; the one line says which limit."""

    async def main() -> list[tuple[int, str]]:
        limiter = RateLimiter(cost_limits=["100/s"])
        costs = {1: 101.0, 2: float("nan")}
        options: dict[str, Any] = {"limit": limiter, "cost": lambda item: costs.get(item, 1.0)}
        async with penstock.run(TokenApi(1.0), range(4), retry_on="none", **options) as outcomes:
            return sorted([(outcome.position, outcome.kind) async for outcome in outcomes])

    assert run_virtual(main()) == [(0, ""), (1, "bad_record"), (2, "bad_record"), (3, "")]


@pytest.mark.parametrize(
    "options",
    [
        {"cost": 1.0},
        {"actual_cost": len},
        {"cost_limit": "10/s"},
        {"cost_limit": "10/s", "cost": 11.0},
        {"cost_limit": "10/s", "cost": -1.0},
        {"cost_limit": "10/s", "cost": 1.0, "hedge": 0.95},
        {"cost_limit": "10/s", "cost": 1.0, "limit": RateLimiter()},
        {"limit_headers": "loosen"},
    ],
)
def test_options_that_make_no_sense_together_are_refused(options: dict[str, Any]) -> None:
    """Before anything is sent."""

    async def call(item: int) -> int:
        return item

    with pytest.raises(UsageError):
        penstock.run(call, [1], retry_on="none", **options)


def test_auto_is_a_limit_of_the_servers() -> None:
    """`limit="auto"` makes the first call alone, beside limits of the user's own."""

    async def main() -> list[float]:
        sent: list[float] = []

        async def call(item: int) -> Response:
            sent.append(current_clock().now())
            await current_clock().sleep(0.3)
            return Response(200, [("RateLimit-Policy", '"a";q=5;w=1')])

        async with penstock.run(call, range(20), retry_on="none", limit=["50/s", "auto"]) as outcomes:
            async for _ in outcomes:
                pass
        return sent

    sent = run_virtual(main())
    assert sent[1] - sent[0] >= 0.3
    assert most_in_any_window(sent, 1.0) <= 5


def test_what_a_record_costs_is_a_number_or_a_field() -> None:
    """A number for all, or the field of each; what is no cost names the field."""
    assert CostEstimate("12.5")(Record({})) == 12.5
    assert CostEstimate("tokens")(Record({"tokens": 7})) == 7.0
    for fields in ({}, {"tokens": "7"}, {"tokens": True}, {"tokens": -1}, {"tokens": 10**400}, [1], None):
        with pytest.raises(InputError, match="tokens"):
            CostEstimate("tokens")(Record(fields))
    for text in ("-1", "nan", "inf"):
        with pytest.raises(UsageError):
            CostEstimate(text)


def test_the_interpreter_reads_the_cost_from_the_answer() -> None:
    """Wherever the expression points; nothing where there is no number."""
    interpret = Interpreter("id", None, cost="usage.total")
    assert interpret(Response(200, (), b'{"id": 1, "usage": {"total": 12}}')).cost == 12.0
    assert interpret(Response(200, (), b'{"id": 1, "usage": "much"}')).cost is None
    assert read_cost(float("inf")) is None
    with pytest.raises(UsageError, match="--cost-actual"):
        Interpreter(cost="a", text=True)
