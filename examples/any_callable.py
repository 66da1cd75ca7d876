"""The engine around any async function: no HTTP, a limit, retries, and one outcome for every item.

Run it: python examples/any_callable.py
"""

from __future__ import annotations

import asyncio
import random

import penstock


class Overloaded(Exception):
    """What this function raises when it has a bad day."""


async def translate(word: str) -> str:
    """Stand in for anything that takes its time and fails now and then."""
    await asyncio.sleep(random.uniform(0.01, 0.05))
    if random.random() < 0.1:
        raise Overloaded("try again")
    if not word.isalpha():
        raise ValueError(f"{word!r} is not a word")
    return word[::-1]


async def main() -> None:
    """Send 200 words through `translate`, at most 100 in any second."""
    words = [f"word{chr(97 + number % 26)}" for number in range(199)] + ["404"]
    async with penstock.run(
        translate,
        words,
        limit="100/s",
        # Named by you: only you know that this exception does no harm twice, and that a ValueError is final.
        retry_on=Overloaded,
        max_attempts=8,
    ) as outcomes:
        failed = [outcome async for outcome in outcomes if not outcome.ok]
        counters = outcomes.counters
    print(f"{counters.ok} ok, {counters.failed} failed, {counters.retries} retries")
    for outcome in failed:
        print(f"{outcome.item}: {outcome.kind}, {outcome.message}")
    assert counters.ok >= 190
    assert "404" in [outcome.item for outcome in failed]


if __name__ == "__main__":
    asyncio.run(main())
