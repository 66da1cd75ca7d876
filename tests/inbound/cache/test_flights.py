"""The room of the flights: who finds which, and what closes one."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from penstock.inbound.cache.flights import VaryHint
from penstock.inbound.cache.protocols import InboundRequest
from penstock.rules.caching.http_fields import combine
from penstock.stores import Resource, StoredResponse
from penstock.testing import run_virtual

from .fakes import FRESH, PRIVATE, Bench, raw_fields

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


@pytest.mark.parametrize(
    ("one", "other", "kept", "equal"),
    [
        ({}, {}, "nothing", True),
        ({"accept": "a"}, {"accept": "b"}, "nothing", True),
        ({"x_user": "a"}, {"x_user": "a"}, "nothing", True),
        ({"x_user": "a"}, {"x_user": "b"}, "nothing", False),
        ({"x_user": "a"}, {}, "nothing", False),
        ({"range": "bytes=0-1"}, {"range": "bytes=0-1"}, "nothing", True),
        ({"range": "bytes=0-1"}, {"range": "bytes=0-2"}, "nothing", False),
        ({"range": "bytes=0-1"}, {}, "nothing", False),
        ({"range": "bytes=0-1", "if_range": '"1"'}, {"range": "bytes=0-1", "if_range": '"2"'}, "nothing", False),
        ({"range": "bytes=0-1", "if_range": '"1"'}, {"range": "bytes=0-1"}, "nothing", False),
        ({"if_range": '"1"'}, {}, "nothing", True),
        ({"range": "bytes=0-1"}, {"range": "bytes=0-2"}, "a whole", True),
        ({"range": "bytes=0-1"}, {}, "a whole", True),
        ({"range": "bytes=0-1", "x_user": "a"}, {"range": "bytes=0-1", "x_user": "b"}, "nothing", False),
        ({"range": "bytes=0-1"}, {"range": "bytes=0-2"}, "nothing, asked for the whole", True),
        ({"range": "bytes=0-1"}, {}, "nothing, asked for the whole", True),
        ({"range": "bytes=0-1", "x_user": "a"}, {"x_user": "b"}, "nothing, asked for the whole", False),
    ],
)
def test_whose_answer_a_request_can_share(
    one: dict[str, str], other: dict[str, str], kept: str, *, equal: bool
) -> None:
    """Never that of another variant, range or URL; X-User is known to matter, and what is stored can be cut."""

    async def main() -> None:
        bench = Bench()
        bench.fill(FRESH, ("etag", '"1"'), target="/kept")
        stored = only(bench.store.get(KEY + b"kept")) if kept == "a whole" else None
        whole = kept.endswith("whole")
        flights = bench.engine.flights
        for key in (KEY, KEY + b"2"):
            flights.vary_hints.keep(key, VaryHint((b"x-user",), ()))
        first, second = asked(one), asked(other)
        one_key = flights.key_of(first, KEY, stored, whole=whole)
        assert (one_key == flights.key_of(second, KEY, stored, whole=whole)) is equal
        assert flights.key_of(first, KEY, stored) != flights.key_of(first, KEY + b"2", stored)
        bench.at_rest()

    run_virtual(main())


def only(resource: Resource | None) -> StoredResponse:
    """The one response that there is."""
    assert resource is not None
    (stored,) = resource
    return stored


def asked(fields: dict[str, str]) -> InboundRequest:
    raw = raw_fields(fields)
    return InboundRequest(b"GET", b"http", b"shop.example", b"/", combine(raw), raw, has_body=False)


def test_who_confirms_a_part_is_not_waited_for_by_who_asks_for_a_whole() -> None:
    async def main() -> None:
        bench = Bench(whole_ranges=0)
        bench.fill(FRESH, target="/whole")
        part = [FRESH, ("etag", '"1"'), ("content-range", "bytes 0-4/10")]
        bench.fill(*part, body=b"01234", status=206, target="/part", range="bytes=0-4")
        whole, half = only(bench.store.get(KEY + b"whole")), only(bench.store.get(KEY + b"part"))
        key_of, plain = bench.engine.flights.key_of, asked({})
        assert key_of(plain, KEY, whole) == key_of(plain, KEY, None) != key_of(plain, KEY, half)
        bench.at_rest()

    run_virtual(main())


def test_the_purge_of_a_url_closes_no_other() -> None:
    async def main() -> None:
        bench = Bench()
        bench.send()
        bench.send("/other")
        bench.engine.forget_url(KEY)
        assert [flight.key for flight in bench.engine.flights] == [KEY + b"other"]
        bench.origin[0].answer(FRESH)
        bench.origin[1].answer(FRESH)
        bench.at_rest()

    run_virtual(main())


def test_an_answer_that_no_longer_varies_is_for_all_who_come() -> None:
    async def main() -> None:
        bench = Bench()
        bench.fill(("cache-control", "no-cache"), ("etag", '"1"'), ("vary", "accept"), accept="a")
        bench.send(accept="b")
        bench.origin[1].head(FRESH)
        assert not bench.engine.flights.vary_hints.entries
        late = bench.send(accept="c")
        assert len(bench.origin) == 2
        bench.origin[1].body(b"new").end()
        await bench.turn()
        assert late.body == b"new"
        bench.at_rest()

    run_virtual(main())


def test_what_varies_is_remembered_of_the_last_that_were_seen_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.inbound.cache.flights._MOST_HINTS", 2)

    async def main() -> None:
        bench = Bench()
        for target, vary in [("/1", "a"), ("/2", "a"), ("/1", "b"), ("/3", "a")]:
            bench.fill(("cache-control", "no-cache"), ("etag", '"1"'), ("vary", vary), target=target)
        assert {**bench.engine.flights.vary_hints.entries} == {
            KEY + b"1": VaryHint((b"b",), ()),
            KEY + b"3": VaryHint((b"a",), ()),
        }
        bench.at_rest()

    run_virtual(main())
