"""A credential that is had anew: once for all in flight, without an attempt, and not again and again in vain."""

from __future__ import annotations

from typing import Any

import pytest

from penstock import Denied, PenstockError, Request, Response, RetryOn, StatusError
from penstock.clock import current_clock
from penstock.engine.engine import Engine
from penstock.engine.http_judge import HttpJudge
from penstock.engine.item_call import ItemCall
from penstock.engine.settings import EngineSettings
from penstock.engine.state import EngineState
from penstock.limits.limiter import RateLimiter
from penstock.testing import run_virtual


class FakeCredential:
    """Is `T0`, then `T1`; `fails` says at which renewal there is none."""

    def __init__(self, takes: float = 1.0, fails: int | None = None) -> None:
        self.generation = 0
        self.began: list[float] = []
        self.running = 0
        self._takes = takes
        self._fails = fails

    def fill(self, request: Request) -> Request:
        """In the URL."""
        return Request(request.method, f"{request.url}?T{self.generation}")

    async def renew(self) -> None:
        """One at a time."""
        assert not self.running
        self.running += 1
        self.began.append(current_clock().now())
        try:
            await current_clock().sleep(self._takes)
        finally:
            self.running -= 1
        if len(self.began) == self._fails:
            raise PenstockError("the login is broken")
        self.generation += 1


class TokenApi:
    """Takes the tokens in `good`, of which `dies` ends one after so many calls; `own` are refused whoever asks."""

    prepares = False

    again_takes: float | None = None
    """Seconds to the answer of an item that was asked before; the others come one after the other then."""

    def __init__(self, good: set[str], dies: dict[int, set[str]] | None = None, own: frozenset[int] = frozenset()):
        self.good = good
        self.calls: list[tuple[int, str, int]] = []
        self.answered: list[tuple[float, str]] = []
        self._dies = dies or {}
        self._own = own

    async def once(self, request: Request) -> Response:
        """Answers after 0.1 s as it was when the call came."""
        self.good = self._dies.get(len(self.calls), self.good)
        item, token = request.url.removeprefix("http://a/").split("?")
        status = 200 if token in self.good and int(item) not in self._own else 401
        before = any(asked == int(item) for asked, _, _ in self.calls[-100:])
        self.calls.append((int(item), token, status))
        await current_clock().sleep(0.1 if self.again_takes is None else self._takes(int(item), before))
        self.answered.append((current_clock().now(), token))
        return Response(status)

    def _takes(self, item: int, before: bool) -> float:
        assert self.again_takes is not None
        return self.again_takes if before else 0.1 + item % 10 * 0.05

    def ready(self, request: Request) -> bool:
        """There is nothing to prepare."""
        return True

    async def prepare(self, request: Request) -> Any:
        """Not called."""
        raise AssertionError

    def ready_for(self, url: str) -> bool:
        """The same."""
        return True


def read(response: Response, item: int) -> int:
    """As the commands do it."""
    if response.status != 200:
        raise StatusError(status=response.status)
    return item


async def drive(
    api: Any, credential: FakeCredential, count: int, *, limiter: RateLimiter | None = None, **options: Any
) -> tuple[list[Any], Exception | None, Engine[int, int]]:
    """The outcomes, what ended the run, and the run."""
    call = ItemCall(api, lambda item: Request("POST", f"http://a/{item}"), read, lambda item: True)
    call.renew_with(credential)
    state = EngineState(
        EngineSettings(**{"in_flight": 10, "stop_after_denied": 20, "max_attempts": 1, **options}),
        HttpJudge(RetryOn.SAFE),
        limiter=limiter or RateLimiter(),
        credential=credential,
        credential_names=("${TOKEN}",),
    )
    outcomes: list[Any] = []
    async with Engine(call, range(count), state) as engine:
        try:
            async for outcome in engine:
                outcomes.append(outcome)
        except PenstockError as error:
            return outcomes, error, engine
    return outcomes, None, engine


@pytest.mark.parametrize("in_flight", [1, 10, 1000])
def test_one_renewal_is_for_all_in_flight(in_flight: int) -> None:
    """What was refused is asked again, with a permit, and has used up no attempt."""
    api, credential = TokenApi({"T0"}, {2000: {"T1"}}), FakeCredential()
    limiter = RateLimiter(["100000/s"])
    outcomes, error, _ = run_virtual(drive(api, credential, 5000, in_flight=in_flight, limiter=limiter))
    assert error is None
    assert sorted(outcome.position for outcome in outcomes if outcome.ok) == list(range(5000))
    assert len(credential.began) == 1
    refused = [item for item, _, status in api.calls if status == 401]
    assert 1 <= len(refused) <= in_flight
    assert len(api.calls) == 5000 + len(refused) == limiter.statistics().sent


def test_each_token_lasts_a_while() -> None:
    """Five of them, one after the other."""
    dies = {1000 * number: {f"T{number}"} for number in range(1, 5)}
    api, credential = TokenApi({"T0"}, dies), FakeCredential()
    outcomes, error, _ = run_virtual(drive(api, credential, 5000))
    assert error is None
    assert sum(outcome.ok for outcome in outcomes) == 5000
    assert len(credential.began) == 4


def test_new_tokens_that_are_refused_as_well_end_the_run() -> None:
    """After forty calls, with no outcome."""
    api, credential = TokenApi(set()), FakeCredential()
    outcomes, error, _ = run_virtual(drive(api, credential, 3000))
    assert isinstance(error, Denied)
    assert "a new value of ${TOKEN}" in str(error)
    assert outcomes == []
    assert len(api.calls) <= 40
    assert len(credential.began) <= 2


@pytest.mark.parametrize(("in_flight", "limit"), [(5, "1000/s"), (30, "1000/s"), (30, "5/s")])
def test_a_token_that_has_helped_nobody_yet_is_not_followed_by_another(in_flight: int, limit: str) -> None:
    """Also where new items are refused with it before those that were asked again with it."""
    api, credential = TokenApi(set()), FakeCredential(takes=0.1)
    api.again_takes = 3.0
    limiter = RateLimiter([limit])
    _, error, _ = run_virtual(drive(api, credential, 3000, in_flight=in_flight, limiter=limiter))
    assert isinstance(error, Denied)
    for number, (before, later) in enumerate(zip(credential.began, credential.began[1:], strict=False), start=1):
        refused = sum(token == f"T{number}" and at <= later for at, token in api.answered)
        assert later - before >= 5.0 or refused >= 20


def test_they_do_in_the_middle_as_well() -> None:
    """What was good before has its outcome, all else is left."""
    api, credential = TokenApi({"T0"}, {500: set()}), FakeCredential()
    outcomes, error, _ = run_virtual(drive(api, credential, 3000))
    assert isinstance(error, Denied)
    assert len(outcomes) == 500
    assert all(outcome.ok for outcome in outcomes)
    assert len(api.calls) <= 500 + 60


def test_items_that_are_refused_whoever_asks_fail_and_cost_few_renewals() -> None:
    """One in fifty: no more renewals than one in five seconds."""
    own = frozenset(range(0, 3000, 50))
    api, credential = TokenApi({f"T{number}" for number in range(100)}, own=own), FakeCredential(takes=0.1)
    outcomes, error, engine = run_virtual(drive(api, credential, 3000))
    assert error is None
    assert {outcome.position for outcome in outcomes if not outcome.ok} == own
    assert len(outcomes) == 3000
    assert all(later - before >= 5.0 for before, later in zip(credential.began, credential.began[1:], strict=False))
    assert len(credential.began) <= 10
    assert engine.counters.in_flight == 0


def test_a_renewal_that_fails_stops_the_run_and_loses_nothing() -> None:
    """It says why."""
    api, credential = TokenApi({"T0"}, {500: {"T1"}}), FakeCredential(fails=1)
    outcomes, error, _ = run_virtual(drive(api, credential, 3000))
    assert str(error) == "the login is broken; no item is lost, and the same command goes on from there"
    assert len(outcomes) == 500
    assert all(outcome.ok for outcome in outcomes)


def test_a_renewal_ends_with_the_run() -> None:
    """Whoever leaves does not wait for it."""

    async def go() -> tuple[FakeCredential, float]:
        api, credential = TokenApi(set()), FakeCredential(takes=3600.0)
        call = ItemCall(api, lambda item: Request("POST", f"http://a/{item}"), read, lambda item: True)
        call.renew_with(credential)
        state = EngineState(EngineSettings(), HttpJudge("safe"), limiter=RateLimiter(), credential=credential)
        began = current_clock().now()
        async with Engine(call, range(100), state) as engine:
            await current_clock().sleep(1.0)
            engine.stop()
            assert [outcome async for outcome in engine] == []
        return credential, current_clock().now() - began

    credential, seconds = run_virtual(go())
    assert (len(credential.began), credential.running) == (1, 0)
    assert seconds < 2.0


def test_waiting_for_a_credential_is_none_of_an_items_time() -> None:
    """A renewal that takes longer than the total timeout lets nobody run out of it."""
    api, credential = TokenApi({"T0"}, {500: {"T1"}}), FakeCredential(takes=25.0)
    outcomes, error, _ = run_virtual(drive(api, credential, 1000, total_timeout=5.0))
    assert error is None
    assert sum(outcome.ok for outcome in outcomes) == 1000
