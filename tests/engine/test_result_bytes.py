"""Results that wait are bounded by their bytes: by how much the sends stop, and what an outcome is taken to hold."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import penstock
from penstock import Response
from penstock.clock import current_clock
from penstock.engine.held_bytes import held_bytes
from penstock.engine.outcome import Answer, Item, Outcome
from penstock.engine.results import HANDFUL_BYTES, Results
from penstock.outbound.http_call import http_call
from penstock.outbound.interpreter import Interpreter
from penstock.outbound.paging.reader import PageAnswer, PageAsk
from penstock.testing import run_virtual

MIB = 1 << 20
IN_FLIGHT = 5


class Sized:
    """A user's value that says what it holds."""

    held_bytes = 3 * MIB


def page(size: int) -> PageAnswer:
    """One whose rows take so much."""
    answer = PageAnswer(PageAsk(0, "http://a/"), 200)
    answer.size = size
    return answer


def outcome(value: Any) -> Outcome[Any, Any]:
    """A good one."""
    return Outcome(Item(0, 0), ok=True, value=value)


@pytest.mark.parametrize(
    "value",
    [
        Response(200, (), bytes(MIB)),
        bytes(MIB),
        "x" * MIB,
        bytearray(MIB),
        Interpreter()(Response(200, (), b'"%b"' % (MIB * b"x"))),
        Interpreter("a")(Response(200, (), b'{"a": 1, "b": "%b"}' % (MIB * b"x"))),
        Interpreter(text=True)(Response(200, (), MIB * b"x")),
        page(MIB),
    ],
    ids=["Response", "bytes", "str", "bytearray", "JSON", "extracted", "text", "page"],
)
def test_what_a_large_value_is_taken_to_hold(value: object) -> None:
    """About its length, whichever way it is kept."""
    assert MIB <= held_bytes(outcome(value)) < MIB + 100


def test_a_value_can_say_what_it_holds_and_others_are_taken_for_small() -> None:
    """Nobody looks into a list, which could take longer than the call."""
    assert held_bytes(outcome(Sized())) == 3 * MIB
    assert all(held_bytes(outcome(value)) < 200 for value in (None, 1, {"a": MIB * "x"}, object(), Answer(200, 1)))


def test_an_error_counts_with_the_answer_that_its_traceback_keeps() -> None:
    """Error pages of a MiB were in memory a thousand at a time: the exception leads to the frame that has them."""

    class Client:
        prepares = False

        async def once(self, request: object) -> Response:
            return Response(404, (), bytes(MIB))

    class Builder:
        origin = "http://a"

        def build(self, record: object) -> object:
            return record

    call: Any = http_call(Client(), Builder(), Interpreter())  # type: ignore[arg-type]
    with pytest.raises(penstock.StatusError) as raised:
        asyncio.run(call.once(None))
    assert held_bytes(Outcome(Item(0, 0), ok=False, error=raised.value)) == MIB


@pytest.mark.parametrize(
    ("size", "most_bytes", "waiting"),
    [
        (MIB, 16 * MIB, 16),  # the default
        (MIB, MIB // 2, 1),  # larger than all that may wait: alone
        (MIB, 3 * MIB, 3),
        (1, 16 * MIB, 1000),  # small ones by their number, as ever
    ],
)
def test_a_slow_consumer_of_large_responses_slows_the_sends(size: int, most_bytes: int, waiting: int) -> None:
    """What waits for it holds `max_result_bytes`, and what is in flight comes on top; every item has its outcome."""
    sent = consumed = 0

    async def call(item: int) -> Response:
        nonlocal sent
        sent += 1
        await current_clock().sleep(0.01)
        return Response(200, (), bytes(size))

    async def main() -> None:
        nonlocal consumed
        engine = penstock.run(call, range(1200), retry_on="none", max_in_flight=IN_FLIGHT, max_result_bytes=most_bytes)
        async with engine as outcomes:
            async for _ in outcomes:
                consumed += 1
                if consumed < 20 or consumed % 100 == 0:
                    await current_clock().sleep(10.0)
                    assert min(1200, consumed + waiting) <= sent <= consumed + waiting + IN_FLIGHT

    run_virtual(main())
    assert consumed == sent == 1200


def test_what_is_taken_at_a_time_is_a_handful() -> None:
    """Results that were taken do not count as waiting any more, so they must not be as many as could wait."""
    results: Results[Outcome[Any, Any]] = Results(1000, 16 * MIB)
    for _ in range(20):
        results.put(outcome(Response(200, (), bytes(MIB))))
    taken = []
    while results:
        assert results.full == (len(results) >= 16)
        taken.append(len(results.take_some()))
    assert taken == [HANDFUL_BYTES // MIB] * 5
    assert not results.full
