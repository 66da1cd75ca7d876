"""Every fault over real sockets, and the table of faults against the plan's prediction."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from email.utils import parsedate_to_datetime

import orjson
import pytest
import uvloop

from penstock.testing import FaultPlan, FaultServer, SlidingLog, constant, item_identity

from .raw_http import Answer, ask_once, connect, post

pytestmark = pytest.mark.real


async def meet(kind: str, **plan: object) -> tuple[Answer | str, Answer | str]:
    """Return what the first and the second attempt of an item get when the first is hit by `kind`."""
    faults = FaultPlan(1, {kind: 1.0}, **plan)  # type: ignore[arg-type]
    async with asyncio.timeout(30), FaultServer(faults=faults) as server:
        both = await ask_once(server, post(b'{"a":1}')), await ask_once(server, post(b'{"a":1}'))
        assert server.statistics().injected == {kind: 1}
        assert server.statistics().in_flight == 0
        return both


@pytest.mark.parametrize("kind", ["400", "404", "429", "500", "502", "503", "504", "599", "503_retry_after"])
def test_statuses(kind: str) -> None:
    first, second = uvloop.run(meet(kind, retry_after=2.5))
    assert isinstance(first, Answer)
    assert first.status == int(kind[:3])
    assert first.headers.get("retry-after") == ("3" if kind in ("429", "503_retry_after") else None)
    assert isinstance(second, Answer)
    assert (second.status, second.body) == (200, b'{"a":1}')


@pytest.mark.parametrize("kind", ["reset", "truncated", "close"])
def test_torn_connections(kind: str) -> None:
    for runner in (uvloop.run, asyncio.run):
        first, second = runner(meet(kind))
        assert first == kind
        assert isinstance(second, Answer)


def test_retry_after_as_a_date() -> None:
    before = time.time()
    first, _ = uvloop.run(meet("503_retry_after", retry_after=90, retry_after_as_date=True))
    assert isinstance(first, Answer)
    until = parsedate_to_datetime(first.headers["retry-after"]).timestamp()
    assert before + 90 <= until <= time.time() + 91
    assert parsedate_to_datetime(first.headers["date"]).timestamp() <= time.time()


def test_bodies_that_are_not_json() -> None:
    first, _ = uvloop.run(meet("garbage_json"))
    assert isinstance(first, Answer)
    assert first.status == 200
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(first.body)
    first, _ = uvloop.run(meet("html"))
    assert isinstance(first, Answer)
    assert (first.status, first.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert first.body.startswith(b"<!doctype html>")


@pytest.mark.parametrize("body", [b"", b"1", b'{"a":1}', bytes(5_000)])
def test_a_slow_body_is_complete_in_the_end(body: bytes) -> None:
    async def test() -> None:
        faults = FaultPlan(1, {"slow_body": 1.0}, slow_body_seconds=0.05)
        async with FaultServer(faults=faults) as server, connect(server) as connection:
            for _ in range(2):
                assert (await connection.ask(post(body))).body == body
            statistics = server.statistics()
            assert (statistics.answered, statistics.injected) == (2, {"slow_body": 1})

    uvloop.run(test())


@pytest.mark.parametrize("body", [b"", b"1", b"12"])
def test_a_truncated_answer_always_lacks_something(body: bytes) -> None:
    async def test() -> None:
        async with FaultServer(faults=FaultPlan(1, {"truncated": 1.0})) as server:
            assert await ask_once(server, post(body)) == "truncated"
            assert server.statistics().answered == 0

    uvloop.run(test())


def test_a_hang_lasts_until_the_client_goes_away() -> None:
    async def test() -> None:
        async with FaultServer(faults=FaultPlan(1, {"hang": 1.0})) as server:
            async with connect(server) as connection:
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.1):
                        await connection.ask(post(b"1"))
                assert server.statistics().in_flight == 1
            assert isinstance(await ask_once(server, post(b"1")), Answer)
            statistics = server.statistics()
            assert (statistics.injected, statistics.abandoned, statistics.in_flight) == ({"hang": 1}, 0, 0)

    uvloop.run(test())


def test_what_is_pipelined_behind_a_fault() -> None:
    async def test() -> None:
        requests = post(b"1") + post(b"1") + post(b"2")
        async with FaultServer(faults=FaultPlan(1, {"500": 1.0})) as server, connect(server) as connection:
            connection.send(requests)
            assert [(await connection.answer()).status for _ in range(3)] == [500, 200, 500]
        async with FaultServer(faults=FaultPlan(1, {"close": 1.0})) as server:
            assert await ask_once(server, requests) == "close"
            while server.statistics().connections_open:
                await asyncio.sleep(0)
            statistics = server.statistics()
            # The first ended the connection, so the two behind it were never answered.
            assert (statistics.requests, statistics.abandoned, statistics.in_flight) == (3, 2, 0)

    uvloop.run(test())


def test_faults_hit_only_what_the_limiter_admits() -> None:
    async def test() -> None:
        faults = FaultPlan(1, {"500": 1.0})
        limiter = SlidingLog(1, 3600)
        async with FaultServer(faults=faults, limiter=limiter, latency=constant(0.01)) as server:
            for _ in range(3):
                await ask_once(server, post(b"1"))
            statistics = server.statistics()
            assert (statistics.injected, statistics.limit_violations) == ({"500": 1}, 2)

    uvloop.run(test())


RATES = {
    "429": 0.05,
    "500": 0.05,
    "503": 0.03,
    "503_retry_after": 0.03,
    "reset": 0.05,
    "close": 0.03,
    "truncated": 0.05,
    "garbage_json": 0.03,
    "html": 0.03,
}


def kind_of(answer: Answer | str) -> str | None:
    """Return the client's own verdict, as far as one side can tell the kinds apart."""
    if isinstance(answer, str):
        return answer
    if answer.status == 503:
        return "503_retry_after" if "retry-after" in answer.headers else "503"
    if answer.status != 200:
        return str(answer.status)
    if answer.headers["content-type"].startswith("text/html"):
        return "html"
    return None if answer.body.endswith(b"}") else "garbage_json"


@pytest.mark.parametrize("affected", [1, "all"])
def test_the_table_by_kind_is_what_the_plan_predicts(affected: int | str) -> None:
    plan = FaultPlan(11, RATES, lasting={"404": 0.02}, attempts_affected=affected)  # type: ignore[arg-type]
    bodies = [b'{"item":%d}' % n for n in range(1_500)]
    met: Counter[str] = Counter()

    async def test() -> None:
        async with FaultServer(faults=plan) as server:

            async def work() -> None:
                while waiting:
                    body, attempt = waiting.pop()
                    kind = kind_of(await ask_once(server, post(body)))
                    if kind is not None:
                        met[kind] += 1
                        if attempt < 4:
                            waiting.insert(0, (body, attempt + 1))

            waiting = [(body, 1) for body in bodies]
            await asyncio.gather(*(work() for _ in range(20)))
            assert met == server.statistics().injected
            assert server.statistics().answered + met.total() >= server.statistics().requests

    uvloop.run(test())
    assert met == plan.predict((item_identity(b"/search", body) for body in bodies), max_attempts=4)
    assert set(met) == set(RATES) | {"404"}
