"""The rig itself is judged: it must find what the suite's own runner finds (section 11). About a minute each."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from . import proxies
from .__main__ import run_against
from .fixed_points import NGINX, NO_CACHE, FixedPoint
from .in_process import App, run_in_process
from .origin import Origin
from .runner import Result
from .suite import Suite, load_suite, suite_path
from .verdicts import totals, verdicts

SUITE = load_suite()

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(SUITE is None, reason=f"there is no suite of cache-tests at {suite_path()}"),
]


def the_suite() -> Suite:
    assert SUITE is not None
    return SUITE


def judge(results: dict[str, Result], point: FixedPoint) -> None:
    suite = the_suite()
    raw = {each: result.kind for each, result in results.items()}
    found = verdicts(suite, raw)
    lists = {verdict: frozenset(each for each in found if found[each] == verdict) for verdict in point.lists}
    assert lists == point.lists
    assert {kind: dict(count) for kind, count in totals(suite, found).items()} == point.totals
    assert Counter(raw.values()) == point.raw
    assert Counter(suite.tests[each].kind for each, kind in raw.items() if kind == "true") == point.true


async def through_nginx() -> dict[str, Result]:
    async with Origin() as origin, proxies.nginx(origin.port) as port:
        return await run_against(the_suite().for_proxies(), origin, "127.0.0.1", port)


async def straight() -> dict[str, Result]:
    async with Origin() as origin:
        return await run_against(the_suite().for_proxies(), origin, "127.0.0.1", origin.port)


@pytest.mark.real
def test_without_a_cache_the_rig_finds_what_the_suites_own_finds() -> None:
    judge(asyncio.run(straight()), NO_CACHE)


@pytest.mark.real
@pytest.mark.skipif(proxies.find_program("nginx") is None, reason="nginx is not installed")
def test_through_nginx_the_rig_finds_what_the_suites_own_finds() -> None:
    judge(asyncio.run(through_nginx()), NGINX)


def test_in_process_an_app_without_a_cache_gets_the_same_verdicts() -> None:
    def no_cache(origin_app: App, _clock: object) -> App:
        return origin_app

    ran = run_in_process(the_suite().for_proxies(), no_cache)
    suite = the_suite()
    found = verdicts(suite, {each: result.kind for each, result in ran.results.items()})
    for verdict, expected in NO_CACHE.lists.items():
        assert frozenset(each for each in found if found[each] == verdict) == expected
    assert {kind: dict(count) for kind, count in totals(suite, found).items()} == NO_CACHE.totals
    assert ran.app_errors == []
