"""An app whose clock is off: it is cached all the same, and that is said once."""

from __future__ import annotations

import pytest

from penstock.inbound.cache.app_clock import AppClock, clock_in_words
from penstock.inbound.cache.explain import explain_url
from penstock.rules.caching.http_date import format_http_date
from penstock.testing import run_virtual

from .fakes import FRESH, Bench


@pytest.mark.parametrize("behind", [0, 120, 7200, -120])
def test_an_app_with_a_wrong_clock_is_cached(behind: int) -> None:
    """Once it was asked for each request, for ever, and nothing said why."""

    async def main() -> None:
        bench = Bench()
        told: list[float] = []
        bench.engine.app_clock.on_change = told.append
        for n in range(5):
            date = format_http_date(bench.engine.clock.wall() - behind).decode()
            bench.fill(FRESH, ("date", date), target=f"/{n}")
            assert b"; hit; ttl=60" in bench.send(f"/{n}").cache_status
            await bench.wait(10)
        assert told == ([behind] if behind else [])
        assert explain_url(bench.engine, "http://shop.example/0")["clock_behind_s"] == behind
        bench.at_rest()

    run_virtual(main())


def test_an_answer_that_the_app_has_kept_for_hours_is_as_old_as_it_says() -> None:
    """Its other answers show that its clock is right."""

    async def main() -> None:
        bench = Bench()
        for target, age, hit in (("/new", 0, True), ("/kept", 7200, False), ("/late", 120, True)):
            date = format_http_date(bench.engine.clock.wall() - age).decode()
            bench.fill(FRESH, ("date", date), target=target)
            before = len(bench.origin)
            assert bench.send(target).ended is hit
            if not hit:
                bench.origin[before].answer(("cache-control", "no-store"))
            await bench.wait(2)
        bench.at_rest()

    run_virtual(main())


def test_expires_is_counted_from_the_apps_own_date() -> None:
    async def main() -> None:
        bench = Bench()
        wall = bench.engine.clock.wall() - 120
        dates = [("date", format_http_date(wall).decode()), ("expires", format_http_date(wall + 60).decode())]
        bench.fill(*dates)
        await bench.wait(59)
        assert b"; hit; ttl=1" in bench.send().cache_status
        await bench.wait(2)
        bench.send()
        assert len(bench.origin) == 2
        bench.origin[1].answer(FRESH)
        bench.at_rest()

    run_virtual(main())


@pytest.mark.parametrize(
    ("heard", "told"),
    [
        ([0, 0, 0], []),
        ([120, 120, 121, 118, 120], [120]),
        ([None, 120, None, 120], [120]),
        ([0, 3600, 0, 3600, 0], []),
        ([0, 3600, 100, 3600, 9000], []),
        ([0, 60, 60, 61, 61], [61]),
        ([120, 0, 0, 0, 0], [120, 0]),
        ([120, 123, 124, 127, 127, 127], [120, 127]),
        ([-30, -30], [-30]),
    ],
)
def test_a_change_is_told_once_and_an_old_answer_is_none(heard: list[float | None], told: list[float]) -> None:
    """An app may keep some of its answers with their Date: that is not its clock."""
    clock, found = AppClock(), list[float]()
    clock.on_change = found.append
    for number, behind in enumerate(heard):
        clock.look(behind, float(number))
    assert found == told
    assert clock.behind == (told[-1] if told else 0)


def test_words() -> None:
    assert clock_in_words(120) == "120 s behind ours"
    assert clock_in_words(-7) == "7 s ahead of ours"
    assert clock_in_words(0) == "right again"
