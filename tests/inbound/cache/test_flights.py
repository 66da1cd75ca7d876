"""The room of the flights: who finds which, and what closes one."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from penstock.testing import run_virtual

from .fakes import FRESH, PRIVATE, Bench

KEY = b"http://shop.example/"
Closing = Callable[[Bench], object]


@pytest.mark.parametrize(
    ("how", "close"),
    [
        ("URL purged", lambda bench: bench.engine.forget_url(KEY)),
        ("tag purged", lambda bench: bench.engine.purge_tag(b"any")),
        ("all purged", lambda bench: bench.engine.purge_all()),
        ("for one", lambda bench: bench.origin[0].head(PRIVATE)),
        ("not to be shared", lambda bench: bench.origin[0].head(("cache-control", "no-cache"), ("etag", '"a"'))),
        ("complete", lambda bench: bench.origin[0].answer(FRESH)),
        ("failed", lambda bench: bench.origin[0].fail()),
    ],
)
def test_what_closes_a_flight(how: str, close: Closing) -> None:
    async def main() -> None:
        bench = Bench()
        bench.send()
        flights = bench.engine.flights
        assert flights.find(KEY) is bench.origin[0].receiver
        assert [flight.key for flight in flights] == [KEY]
        close(bench)
        assert flights.find(KEY) is None
        assert not flights
        if "purged" in how:
            bench.origin[0].head(FRESH)
        bench.origin[0].end()
        bench.at_rest()

    run_virtual(main())


def test_what_an_answer_varies_with_closes_it_for_others_alone() -> None:
    async def main() -> None:
        bench = Bench()
        bench.send(accept="a")
        bench.origin[0].head(FRESH, ("vary", "accept"))
        (flight,) = bench.engine.flights
        assert flight.flight_key != KEY
        assert bench.engine.flights.find(KEY) is None
        bench.send(accept="a")
        assert len(bench.origin) == 1
        bench.send(accept="b")
        assert len(bench.origin) == 2
        assert len(bench.engine.flights) == 2
        bench.origin[0].end()
        bench.origin[1].answer(FRESH, ("vary", "accept"))
        bench.at_rest()

    run_virtual(main())


def test_what_a_purge_has_closed_no_answer_opens_again() -> None:
    async def main() -> None:
        bench = Bench()
        bench.send(accept="a")
        bench.engine.forget_url(KEY)
        bench.send(accept="a")
        bench.origin[0].head(FRESH, ("vary", "accept"))
        (flight,) = bench.engine.flights
        assert flight is bench.origin[1].receiver
        bench.origin[0].end()
        bench.origin[1].answer(FRESH, ("vary", "accept"))
        bench.at_rest()

    run_virtual(main())


def test_flights_and_their_room_say_how_they_are() -> None:
    """In a debugger or a failed test; without the URL, which can hold secrets."""

    async def main() -> None:
        bench = Bench()
        bench.send("/?secret")
        fetch = bench.origin[0]
        flight, flights = fetch.receiver, bench.engine.flights
        bench.send("/?secret")
        assert repr(flight) == "<Flight waiting (uri-miss), 2 waiting, 0 bytes>"
        assert repr(flights) == "<Flights 1 open, 0 refreshing, 0 bytes held>"
        fetch.head(FRESH).body(b"x" * 1234)
        assert repr(flight) == "<Flight shared (uri-miss), 2 waiting, 1,234 bytes>"
        assert repr(flights) == "<Flights 1 open, 0 refreshing, 1,234 bytes held>"
        fetch.end()
        assert repr(flight) == "<Flight complete (uri-miss), 0 waiting, 1,234 bytes>"
        assert repr(flights) == "<Flights 0 open, 0 refreshing, 0 bytes held>"
        bench.at_rest()

    run_virtual(main())


def test_a_room_counts_its_refreshes() -> None:
    async def main() -> None:
        bench = Bench()
        bench.fill(("cache-control", "max-age=1, stale-while-revalidate=60"))
        await bench.wait(2)
        assert bench.send().ended
        assert repr(bench.engine.flights) == "<Flights 1 open, 1 refreshing, 0 bytes held>"
        bench.origin[1].answer(FRESH)
        bench.at_rest()

    run_virtual(main())
