"""How many functions a request goes through: a count repeats where a time does not, so it can be held."""

from __future__ import annotations

import asyncio
import json

import pytest
from benchmarks.function_counts import Counts, MiddlewareBench, proxy_bench

# As reached with Python 3.11; later ones have no frames for comprehensions and need fewer.
MOST = {
    "proxy": 154,
    "proxy-plain": 54,
    "proxy-pass": 41,
    "middleware": 115,
    "proxy-hit": 70,
    "middleware-hit": 35,
    "middleware-new-field": 13,
    "middleware-new-condition": 27,
}


async def proxy_miss() -> Counts:
    async with proxy_bench() as bench:
        return await bench.stored_miss()


async def middleware_miss() -> Counts:
    return await MiddlewareBench().stored_miss()


@pytest.mark.real
def test_a_stored_miss_through_the_proxy() -> None:
    """Who makes it dearer has to say so here; who makes it cheaper, too."""
    assert_at_most(asyncio.run(proxy_miss()), MOST["proxy"])


@pytest.mark.real
def test_a_plain_miss_through_the_proxy() -> None:
    """The short way, to the store and past it."""

    async def plain() -> tuple[Counts, Counts]:
        async with proxy_bench() as bench:
            return await bench.plain_miss(), await bench.plain_pass()

    missed, passed = asyncio.run(plain())
    assert_at_most(missed, MOST["proxy-plain"])
    assert_at_most(passed, MOST["proxy-pass"])


def test_a_stored_miss_through_the_middleware() -> None:
    """The same without a wire."""
    assert_at_most(asyncio.run(middleware_miss()), MOST["middleware"])


@pytest.mark.real
def test_a_hit_through_the_proxy_that_nobody_asked_for_before() -> None:
    """One that the table does not know, and does not get to know either."""

    async def hit() -> Counts:
        async with proxy_bench() as bench:
            return await bench.engine_hit()

    assert_at_most(asyncio.run(hit()), MOST["proxy-hit"])


def test_a_hit_in_the_middleware_that_nobody_asked_for_before() -> None:
    """What it remembers was once charged for each of them."""
    assert_at_most(asyncio.run(MiddlewareBench().first_hit()), MOST["middleware-hit"])


def test_a_hit_in_the_middleware_with_a_field_that_is_new() -> None:
    """It makes no difference, so nothing is looked up and nothing remembered."""
    assert_at_most(asyncio.run(MiddlewareBench().new_field()), MOST["middleware-new-field"])


def test_a_hit_in_the_middleware_with_a_condition_that_is_new() -> None:
    """What is selected is known; how it is answered is not."""
    assert_at_most(asyncio.run(MiddlewareBench().new_condition()), MOST["middleware-new-condition"])


def assert_at_most(counts: Counts, most: int) -> None:
    by_file = {f"{file} {name}": calls for (file, name), calls in sorted(counts.calls.items())}
    assert counts.total <= most, json.dumps(by_file, indent=1)
    assert counts.total > most / 2, "half of it was not counted"
