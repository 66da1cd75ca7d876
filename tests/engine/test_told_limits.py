"""What servers tell of their limits, in a whole run: no rate is lost to it, nothing is refused, nothing is loosened."""

from __future__ import annotations

import pytest

import penstock
from penstock import RateLimiter
from penstock.messages import Response
from penstock.testing import Latency, constant, most_in_any_window, run_virtual, uniform

from .telling_api import TellingApi

SLOW, FAST = uniform(8, 30), constant(0.005)


def used_and_api(
    user: str | None, count: int, seconds: float, latency: Latency, items: int, **options: object
) -> tuple[float, TellingApi]:
    """(share of the server's limit that was used from the first call to the last, the server) of a run."""
    follow = bool(options.pop("follow_server", False))

    async def main() -> TellingApi:
        limiter = RateLimiter([user] if user else [], follow_server=follow)
        api = TellingApi(limiter, count, seconds, latency, **options)  # type: ignore[arg-type]
        run = penstock.run(
            api, range(items), retry_on="safe", limit=limiter, max_in_flight=64, max_attempts=20, attempt_timeout=None
        )
        async with run as outcomes:
            results = [outcome async for outcome in outcomes]
        assert sorted(outcome.position for outcome in results if outcome.ok) == list(range(items))
        return api

    api = run_virtual(main())
    return (items - 1) * seconds / count / (api.arrivals[-1] - api.arrivals[0]), api


DIALECTS = [(dialect, at_end) for dialect in ("policy", "trio", "epoch") for at_end in (False, True)]


@pytest.mark.parametrize(("dialect", "at_end"), DIALECTS)
@pytest.mark.parametrize(
    ("limit", "count", "seconds", "latency"), [("100/min", 100, 60.0, SLOW), ("100/s", 100, 1.0, FAST)]
)
def test_the_users_limit_is_used_in_full_where_the_server_tells_the_same(
    limit: str, count: int, seconds: float, latency: Latency, dialect: str, at_end: bool
) -> None:
    """Counters that are old, or rounded to seconds, cost no rate where what is used of the quota is our own use."""
    used, api = used_and_api(limit, count, seconds, latency, 1000, dialect=dialect, at_end=at_end)
    assert used >= 0.98
    assert api.refused == 0
    assert most_in_any_window(api.arrivals, seconds) <= count


@pytest.mark.parametrize("at_end", [False, True])
@pytest.mark.parametrize(
    ("user", "count", "seconds", "latency"),
    [(None, 100, 60.0, SLOW), ("200/min", 100, 60.0, SLOW), (None, 100, 1.0, FAST), ("1000/s", 100, 1.0, FAST)],
)
def test_a_policy_is_kept_as_if_the_user_had_given_it(
    user: str | None, count: int, seconds: float, latency: Latency, at_end: bool
) -> None:
    """With a looser limit or none at all, what the server's policy says is kept in every window, and used."""
    used, api = used_and_api(user, count, seconds, latency, 1000, dialect="policy", at_end=at_end)
    assert used >= 0.98
    assert api.refused == 0
    assert most_in_any_window(api.arrivals, seconds) <= count


@pytest.mark.parametrize(("dialect", "at_end"), DIALECTS)
@pytest.mark.parametrize("user", [None, "300/min"])
def test_counters_without_a_window_keep_us_below_the_quota(user: str | None, dialect: str, at_end: bool) -> None:
    """What is left, and until when, is enough to be refused nothing and to use most of the quota."""
    used, api = used_and_api(user, 100, 60.0, SLOW, 1000, dialect=dialect, at_end=at_end)
    assert api.refused == 0
    assert used >= 0.75


def test_a_quota_that_others_use_too_is_shared() -> None:
    """Where somebody else takes half, we take the rest, and are refused about one call in each window."""
    used, api = used_and_api("200/min", 100, 60.0, FAST, 1000, dialect="policy", others=50 / 60)
    windows = (api.arrivals[-1] - api.arrivals[0]) / 60.0
    assert api.refused <= windows + 1
    assert used >= 0.45


def test_follow_server_starts_with_one_call_and_follows_a_limit_that_rises() -> None:
    """The first call goes alone; the policy in its answer is the limit, and a looser one takes over in time."""

    async def main() -> list[float]:
        limiter = RateLimiter(follow_server=True)
        api = TellingApi(limiter, 10, 1.0, constant(0.2), dialect="policy")
        async with penstock.run(api, range(200), retry_on="safe", limit=limiter, max_in_flight=64) as outcomes:
            async for outcome in outcomes:
                if outcome.position == 100:
                    api.change(40)
        assert api.refused == 0
        return list(api.arrivals)

    arrivals = run_virtual(main())
    assert arrivals[1] - arrivals[0] >= 0.2
    assert most_in_any_window(arrivals[:100], 1.0) <= 10
    assert arrivals[-1] - arrivals[-41] == pytest.approx(1.0, abs=0.1)


def test_without_follow_server_what_was_told_once_stays() -> None:
    """A server that tells a looser policy later does not make us faster."""

    async def main() -> list[float]:
        limiter = RateLimiter()
        api = TellingApi(limiter, 10, 1.0, constant(0.05), dialect="policy")
        async with penstock.run(api, range(100), retry_on="safe", limit=limiter, max_in_flight=4) as outcomes:
            async for _ in outcomes:
                api.change(1000)
        return list(api.arrivals)

    assert most_in_any_window(run_virtual(main()), 1.0) <= 10


def test_a_run_over_responses_listens_by_itself() -> None:
    """A call that returns Responses, such as a Client, needs no wiring; with "ignore" nobody listens."""

    async def call(item: int) -> Response:
        return Response(200, [("RateLimit-Policy", '"a";q=10;w=60')])

    async def main(limit_headers: str) -> tuple[str, ...]:
        limiter = RateLimiter()
        options = {"retry_on": "none", "limit": limiter, "max_in_flight": 1, "limit_headers": limit_headers}
        async with penstock.run(call, range(8), **options) as outcomes:  # type: ignore[arg-type]
            async for _ in outcomes:
                pass
        return limiter.statistics().told

    assert run_virtual(main("tighten")) == ("10/min",)
    assert run_virtual(main("ignore")) == ()
