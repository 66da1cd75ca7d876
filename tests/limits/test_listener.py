"""Listening to answers: what tells nothing is passed over quickly, what tells something reaches the limiter."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

import penstock
import penstock.clock
from penstock import RateLimiter
from penstock.errors import StatusError
from penstock.limits.listener import LimitListener
from penstock.messages import Response
from penstock.testing import ManualClock, run_virtual

PLAIN = [(b"Date", b"Thu, 01 Jan 2026 00:00:00 GMT"), (b"Content-Type", b"text/plain")]
TELLING = [*PLAIN, (b"RateLimit-Policy", b'"a";q=10;w=60')]


def raw(fields: list[tuple[bytes, bytes]], status: int = 200) -> Response:
    """A response as the wire makes it, with a list of its own."""
    return Response(status, raw_headers=list(fields))


def test_a_policy_is_heard_also_after_many_answers_that_told_nothing() -> None:
    """Of answers whose heads tell nothing only some are looked at; one that tells comes soon enough."""
    limiter = RateLimiter()
    listener = LimitListener(limiter, ManualClock())
    for _ in range(1000):
        listener.hear(raw(PLAIN), 0.0)
    for _ in range(4):
        assert limiter.statistics().told == ()
        listener.hear(raw(TELLING), 0.0)
        if limiter.statistics().told:
            break
    assert limiter.statistics().told == ("10/min",)


def test_an_answer_that_is_not_good_is_always_looked_at() -> None:
    """A 429 tells the most; it is read at once, whatever came before."""
    limiter = RateLimiter()
    listener = LimitListener(limiter, ManualClock())
    for _ in range(1000):
        listener.hear(raw(PLAIN), 0.0)
    listener.hear(raw(TELLING, 429), 0.0)
    assert limiter.statistics().told == ("10/min",)


def test_answers_of_other_clients_are_heard_too() -> None:
    """A Response that was made of Headers has no raw fields."""
    limiter = RateLimiter()
    LimitListener(limiter, ManualClock()).hear(Response(200, [("X-RateLimit-Limit-Minute", "10")]), 0.0)
    assert limiter.statistics().told == ("10/min",)


@given(st.lists(st.tuples(st.binary(max_size=30), st.binary(max_size=60)), max_size=20), st.integers(100, 599))
def test_no_answer_raises(fields: list[tuple[bytes, bytes]], status: int) -> None:
    """Whatever bytes stand in a head, before and after one that tells a limit."""
    listener = LimitListener(RateLimiter(["10/s"]), ManualClock())
    for head in (fields, [*TELLING, *fields], [(b"x-ratelimit-" + name, value) for name, value in fields]):
        listener.hear(raw(head, status), 0.0)


def test_a_server_that_refuses_all_for_a_minute_wastes_what_was_in_flight_and_one_probe_a_pause() -> None:
    """A closed window of a server that tells nothing but Retry-After: nobody knocks before it opens."""
    refused = 0
    in_flight = 20

    async def call(item: int) -> int:
        nonlocal refused
        now = penstock.clock.current_clock().now()
        await penstock.clock.current_clock().sleep(0.2)
        if 3.0 <= now < 63.0:
            refused += 1
            raise StatusError(status=429, retry_after=63.0 - now)
        return item

    async def main() -> list[str]:
        options = {"retry_on": "safe", "limit": "50/s", "max_in_flight": in_flight}
        async with penstock.run(call, range(500), **options) as outcomes:  # type: ignore[arg-type]
            return [outcome.kind async for outcome in outcomes]

    assert run_virtual(main()) == [""] * 500
    assert 0 < refused <= in_flight + 1
