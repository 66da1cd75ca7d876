"""The SDK of OpenAI against a server of 20 a second: what a plain gather loses, and what it does not with a limit."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import openai
import orjson
import pytest

from penstock.adapters.httpx2 import AsyncLimit
from penstock.testing import FaultServer, SlidingLog

from .served import in_a_thread

CALLS = 80


def complete(body: bytes) -> bytes:
    """What a chat completion looks like; it says again what it was told."""
    said = orjson.loads(body)["messages"][0]["content"]
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": said}}
    return orjson.dumps({"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]})


async def gather(url: str, transport: Any) -> list[object]:
    async with openai.AsyncOpenAI(
        api_key="none", base_url=f"{url}/v1", http_client=httpx2.AsyncClient(transport=transport)
    ) as client:

        async def ask(number: int) -> object:
            message: Any = {"role": "user", "content": str(number)}
            answer = await client.chat.completions.create(model="m", messages=[message])
            return answer.choices[0].message.content

        return list(await asyncio.gather(*[ask(number) for number in range(CALLS)], return_exceptions=True))


def result(transport: Any, window: float = 1.0) -> tuple[list[object], int]:
    """What came of the calls, and how many requests the server refused that takes 20 a `window` of so many seconds."""
    with in_a_thread(lambda: FaultServer(limiter=SlidingLog(20, window), answer=complete)) as server:
        answers = asyncio.run(gather(server.url, transport))
        return answers, server.statistics().limit_violations


@pytest.mark.real
@pytest.mark.slow
def test_with_the_transport_all_come_and_none_is_refused() -> None:
    """Each gets its own answer."""
    answers, refused = result(AsyncLimit("20/s"))
    assert answers == [str(number) for number in range(CALLS)]
    assert refused == 0


@pytest.mark.real
@pytest.mark.slow
def test_a_plain_gather_loses_some_for_good() -> None:
    """The SDK's own retries are used up while the limit is full; on a slow machine too, by its long window."""
    answers, refused = result(httpx2.AsyncHTTPTransport(), window=3.0)
    lost = [each for each in answers if isinstance(each, openai.RateLimitError)]
    assert len(lost) >= 5
    assert refused >= CALLS - 20
