"""How much time is left: within an attempt, within a layer, and in a header."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import penstock
from penstock import Request, Response, time_left
from penstock.call import PlainCall
from penstock.clock import current_clock
from penstock.layers.attempt_timeout import attempt_timeout
from penstock.layers.deadline import DeadlineHeader, format_time_left
from penstock.testing import ScriptedCall, run_virtual

BROKEN = penstock.StatusError("HTTP 500", status=500)


async def outcomes_of(call: Any, items: Any, **options: Any) -> list[Any]:
    """All outcomes of a run."""
    async with penstock.run(call, items, **{"retry_on": "none", **options}) as outcomes:
        return [outcome async for outcome in outcomes]


def test_outside_an_attempt_there_is_no_deadline() -> None:
    """None says that nobody will give up."""

    async def main() -> float | None:
        return time_left()

    assert run_virtual(main()) is None
    assert time_left() is None


def test_it_counts_down_within_an_attempt_of_a_run() -> None:
    """All of the attempt timeout at the send, less later, also in a task that the call starts."""

    async def call(item: int) -> list[float | None]:
        seen = [time_left()]
        await current_clock().sleep(3.0)
        seen.append(time_left())
        async with asyncio.TaskGroup() as group:
            seen.append(await group.create_task(asked()))
        return seen

    async def asked() -> float | None:
        return time_left()

    outcomes = run_virtual(outcomes_of(call, range(3), attempt_timeout=10.0, max_in_flight=1))
    assert [outcome.value for outcome in outcomes] == [[10.0, 7.0, 7.0]] * 3


def test_the_total_timeout_counts_where_less_of_it_is_left() -> None:
    """The last attempts of an item have less time than the attempt timeout."""
    seen: list[float] = []

    async def call(item: int) -> None:
        left = time_left()
        assert left is not None
        seen.append(left)
        sent.append(current_clock().now())
        await current_clock().sleep(4.0)
        raise BROKEN

    sent: list[float] = []
    run_virtual(outcomes_of(call, [1], retry_on="transient", attempt_timeout=8.0, total_timeout=12.0))
    assert len(seen) >= 2
    assert seen[0] == 8.0
    assert seen[1:] == [pytest.approx(min(8.0, 12.0 - (at - sent[0]))) for at in sent[1:]]


def test_without_timeouts_there_is_none_in_a_run_either() -> None:
    """A call that may take for ever is told so."""

    async def call(item: int) -> float | None:
        return time_left()

    outcomes = run_virtual(outcomes_of(call, [1], attempt_timeout=None, total_timeout=None))
    assert outcomes[0].value is None


def test_the_attempt_timeout_layer_sets_it_and_takes_it_back() -> None:
    """The shorter of two that stand around each other counts."""

    async def ask(item: float) -> float | None:
        await current_clock().sleep(item)
        return time_left()

    async def main() -> list[float | None]:
        inner = attempt_timeout(5.0)(ask)
        return [await inner(1.0), await attempt_timeout(3.0)(inner)(1.0), time_left()]

    assert run_virtual(main()) == [4.0, 2.0, None]


@pytest.mark.parametrize(
    ("name", "seconds", "value"),
    [
        ("X-Request-Timeout-Ms", 0.0129, "12"),
        ("X-Request-Timeout-Ms", 30.0, "30000"),
        ("X-Request-Timeout-Ms", -1.0, "0"),
        ("grpc-timeout", 1.5, "1500m"),
        ("Grpc-Timeout", 99_999.0, "99999000m"),
        ("grpc-timeout", 100_000.0, "100000S"),
        ("grpc-timeout", 1e12, "99999999S"),
    ],
)
def test_the_forms_of_the_header(name: str, seconds: float, value: str) -> None:
    """Milliseconds, rounded down; gRPC's form has at most eight digits and a unit."""
    assert format_time_left(name, seconds) == value


def test_a_run_tells_the_peer_of_each_request_how_long_its_answer_is_waited_for() -> None:
    """The header is on every request; one that has it already keeps its own."""
    call = ScriptedCall([Response(200)], repeat_last=True)
    items = [Request("GET", "http://a/"), Request("GET", "http://a/", {"x-timeout-ms": "7"})]
    outcomes = run_virtual(outcomes_of(call, items, deadline_header="X-Timeout-Ms", attempt_timeout=2.5))
    assert all(outcome.ok for outcome in outcomes)
    assert [request.headers.get("x-timeout-ms") for request in call.requests] == ["2500", "7"]


def test_without_a_deadline_no_header_is_sent() -> None:
    """A request outside an attempt goes out as it is."""
    call = ScriptedCall([Response(200)])
    request = Request("GET", "http://a/")
    asyncio.run(_called(DeadlineHeader(PlainCall(call), "X-Timeout-Ms"), request))
    assert call.requests == [request]


async def _called(client: DeadlineHeader, request: Request) -> Response:
    return await client.once(request)


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a\r\nb"])
def test_a_name_that_cannot_be_one_is_refused(name: str) -> None:
    """A UsageError when the run is made."""
    with pytest.raises(penstock.UsageError):
        penstock.run(ScriptedCall([]), [1], retry_on="none", deadline_header=name)
