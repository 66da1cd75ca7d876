"""What a first try with `penstock.run` gets wrong is said at once, and not once for each item."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

import penstock


async def double(item: int) -> int:
    """A good callable."""
    return item * 2


async def never(error: Exception) -> bool:
    """A predicate that no one awaits."""
    return False


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"limit": 100}, "100/min"),
        ({"limit": ["10/s", penstock.RateLimiter("10/s")]}, "RateLimiter"),
        ({"limit": {"10/s": 1}.values()}, "a limit is"),
        ({"cost_limit": 5, "cost": 1}, "a limit is"),
        ({"attempt_timeout": "10s"}, "number of seconds"),
        ({"total_timeout": "10s"}, "number of seconds"),
        ({"retry_on": never}, "plain function"),
    ],
)
def test_a_wrong_argument_is_one_sentence(arguments: dict[str, Any], word: str) -> None:
    """They were a TypeError or an AttributeError of ours, or an answer that was always yes."""
    with pytest.raises(penstock.UsageError, match=word):
        penstock.run(double, [1], **{"retry_on": "none"} | arguments)


def test_one_limit_is_a_list_of_it() -> None:
    """`RateLimiter("100/min")` was read letter by letter."""
    assert [str(each.limit) for each in penstock.RateLimiter("100/min").windows] == ["100/min"]
    assert [str(each.limit) for each in penstock.RateLimiter(cost_limits="9/s").costs] == ["9/s"]


@pytest.mark.parametrize("retry_on", ["none", "transient"])
def test_a_function_that_is_not_async_ends_the_run(retry_on: str) -> None:
    """Each item was called, with all that it does, and then failed."""
    called: list[int] = []

    def blocking(item: int) -> int:
        called.append(item)
        return item

    async def consume() -> list[Any]:
        async with penstock.run(cast("Any", blocking), range(1000), retry_on=retry_on) as outcomes:
            return [outcome async for outcome in outcomes]

    with pytest.raises(penstock.UsageError, match=r"blocking is not async: it returned int"):
        asyncio.run(consume())
    assert len(called) == 1


@pytest.mark.parametrize("kind", ["lambda", "method", "partial", "object"])
def test_what_returns_an_awaitable_is_as_good(kind: str) -> None:
    """Whoever wraps a client writes no `async`."""
    import functools

    class Api:
        def call(self, item: int) -> Any:
            return double(item)

        async def __call__(self, item: int) -> int:
            return item * 2

    calls: dict[str, Any] = {
        "lambda": lambda item: double(item),
        "method": Api().call,
        "partial": functools.partial(double),
        "object": Api(),
    }

    async def consume() -> list[Any]:
        async with penstock.run(calls[kind], range(5), retry_on="none") as outcomes:
            return sorted([outcome.value async for outcome in outcomes])

    assert asyncio.run(consume()) == [0, 2, 4, 6, 8]
