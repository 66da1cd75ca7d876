"""Scripts play in order, and what was asked is remembered."""

from __future__ import annotations

import asyncio

import pytest

from penstock.errors import ConnectionLost, Throttled
from penstock.testing import (
    After,
    Hang,
    ScriptedCall,
    ScriptExhausted,
    SimulatedApi,
    cancel_everywhere,
    constant,
    most_in_any_window,
    run_virtual,
    uniform,
)


def test_every_kind_of_step() -> None:
    async def double(request: int) -> int:
        return 2 * request

    async def main() -> None:
        call = ScriptedCall(
            [
                "plain",
                ConnectionLost("instance"),
                Throttled("x"),
                lambda request: request + 1,
                double,
                KeyError,
            ]
        )
        assert await call(1) == "plain"
        with pytest.raises(ConnectionLost, match="instance"):
            await call(2)
        with pytest.raises(Throttled):
            await call(3)
        assert await call(4) == 5
        assert await call(5) == 10
        with pytest.raises(KeyError):
            await call(6)
        assert call.requests == [1, 2, 3, 4, 5, 6]
        with pytest.raises(ScriptExhausted, match=r"number 7 .* 6 steps"):
            await call(7)
        assert len(call.calls) == 6

    run_virtual(main())


def test_after_and_hang_keep_the_loops_time() -> None:
    async def main() -> None:
        call = ScriptedCall([After(8, "late"), After(1, After(2, ValueError("later"))), Hang(), Hang])
        loop = asyncio.get_running_loop()
        assert await call("a") == "late"
        with pytest.raises(ValueError, match="later"):
            await call("b")
        for _ in range(2):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(30):
                    await call("c")
        assert call.times == [0, 8, 11, 41]
        assert loop.time() == 71
        assert (call.in_flight, call.max_in_flight) == (0, 1)

    run_virtual(main())


def test_the_last_step_can_repeat() -> None:
    async def main() -> None:
        call = ScriptedCall([1, After(1, 2)], repeat_last=True)
        assert await asyncio.gather(*(call(None) for _ in range(4))) == [1, 2, 2, 2]
        assert call.max_in_flight == 3
        assert repr(call) == "<ScriptedCall 4 calls of 2 steps, 0 in flight, at most 3>"

    run_virtual(main())
    with pytest.raises(ValueError, match="empty"):
        ScriptedCall([], repeat_last=True)


def test_a_cancelled_call_is_not_in_flight() -> None:
    calls: list[ScriptedCall] = []

    async def one() -> None:
        calls.append(ScriptedCall([After(1, "x")]))
        await calls[-1]("request")

    def check() -> None:
        assert all(call.in_flight == 0 for call in calls)

    assert cancel_everywhere(one, check).cancelled > 1


def test_an_api_takes_its_time_and_keeps_its_limit() -> None:
    async def main() -> SimulatedApi:
        api = SimulatedApi("10/min", latency=uniform(8, 30), seed=1)
        answers = await asyncio.gather(*(api(n) for n in range(10)))
        assert answers == list(range(10))
        ended = asyncio.get_running_loop().time()
        assert 8 <= ended <= 30
        with pytest.raises(Throttled) as refused:
            await api(10)
        assert refused.value.retry_after == 60 - ended
        await asyncio.sleep(refused.value.retry_after)
        assert await api(11) == 11
        return api

    api = run_virtual(main())
    assert most_in_any_window(api.admitted, 60) == 10
    assert (len(api.arrivals), len(api.admitted), api.answered, api.violations) == (12, 11, 11, 1)
    assert repr(api) == "<SimulatedApi 12 arrivals, 1 over the limit, 0 in flight, at most 10>"


def test_an_api_can_answer_anything() -> None:
    async def main() -> None:
        api = SimulatedApi(latency=constant(1), answer=lambda n: After(n, ConnectionLost("x")) if n else "zero")
        assert await api(0) == "zero"
        with pytest.raises(ConnectionLost):
            await api(5)
        assert asyncio.get_running_loop().time() == 7
        assert (api.answered, api.in_flight) == (1, 0)

    run_virtual(main())


def test_the_same_seed_gives_the_same_latencies() -> None:
    async def total(seed: int) -> float:
        api = SimulatedApi(latency=uniform(1, 2), seed=seed)
        for n in range(5):
            await api(n)
        return asyncio.get_running_loop().time()

    assert run_virtual(total(3)) == run_virtual(total(3)) != run_virtual(total(4))


def test_one_limit_only() -> None:
    with pytest.raises(ValueError, match="not both"):
        SimulatedApi("1/s", limiter=SimulatedApi("1/s")._limiter)
