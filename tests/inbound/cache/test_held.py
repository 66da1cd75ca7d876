"""The memory of bodies on their way, and parts that are completed: see `Flights.hold`."""

from __future__ import annotations

from penstock.testing import run_virtual

from .fakes import FRESH, Bench

CHUNK = b"x" * 65_536


def test_above_a_quarter_of_the_budget_one_more_body_is_passed_and_not_kept() -> None:
    async def main() -> None:
        bench = Bench(memory=1 << 20, max_object=1 << 19)
        replies = [bench.send(f"/{n}") for n in range(3)]
        for fetch in bench.origin.fetches:
            fetch.head(FRESH)
        await bench.turn()
        for _ in range(5):
            bench.origin[0].body(CHUNK)
        assert bench.engine.flights.held == 5 * len(CHUNK)
        bench.origin[1].body(CHUNK)
        assert bench.engine.flights.held == 5 * len(CHUNK), "the second is not kept"
        assert bench.engine.counters.uncacheable == {"no-room": 1}
        bench.origin[0].body(CHUNK).end()
        assert bench.engine.flights.held == 0
        bench.origin[2].body(CHUNK)
        for fetch in bench.origin.fetches[1:]:
            fetch.end()
        assert [len(r.body) // len(CHUNK) for r in replies] == [6, 1, 1]
        assert all(r.ended for r in replies)
        assert bench.engine.flights.held == 0
        assert [bool(bench.send(f"/{n}").status) for n in range(3)] == [True, False, True]
        bench.origin[3].answer(FRESH)
        bench.at_rest()

    run_virtual(main())


def test_however_a_flight_ends_its_bytes_are_no_longer_counted() -> None:
    async def main() -> None:
        bench = Bench(max_object=100_000)
        for how in ("end", "fail", "overflow", "all leave"):
            reply = bench.send("/" + how)
            fetch = bench.origin[-1].head(FRESH)
            await bench.turn()
            fetch.body(CHUNK)
            assert bench.engine.flights.held == len(CHUNK)
            if how == "end":
                fetch.end()
            elif how == "fail":
                fetch.fail()
            elif how == "overflow":
                fetch.body(CHUNK)
                assert bench.engine.flights.held == 0
                fetch.end()
            else:
                reply.leave()
                fetch.end()
            assert bench.engine.flights.held == 0, how
        bench.at_rest()

    run_virtual(main())


def test_once_it_is_stored_a_slow_client_holds_only_what_it_lacks() -> None:
    async def main() -> None:
        bench = Bench()
        slow = bench.send()
        fetch = bench.origin[0].head(FRESH)
        await bench.turn()
        fetch.body(CHUNK, CHUNK)
        slow.slow()
        fetch.body(CHUNK).end()
        flight = fetch.receiver
        assert len(flight.chunks) == 1  # type: ignore[attr-defined]
        slow.fast()
        assert slow.ended
        assert len(slow.body) == 3 * len(CHUNK)
        assert flight.chunks == []  # type: ignore[attr-defined]
        bench.at_rest()

    run_virtual(main())
