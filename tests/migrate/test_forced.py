"""An arm that is forced for a whole process: who hears of it, and what `broken` does."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

import penstock
from penstock.errors import ArmBroken
from penstock.migrate import calls_file, choice
from penstock.migrate.arms import Armed
from penstock.migrate.suite_calls import SuiteCalls
from penstock.rules.moving.suite import RouteCall

from .routes import ROUTE


def armed(*, wsgi: bool = False) -> Armed[[], Any]:
    @penstock.arms(ROUTE, max_in_flight=5, wsgi=wsgi)
    def quote() -> str:
        return "control"

    @quote.arm("async")
    async def _() -> str:
        return "async"

    return quote


def serve(route: Armed[[], Any]) -> str:
    async def one() -> str:
        answer: str = await route()
        return answer

    return asyncio.run(one())


@pytest.fixture
def calls() -> SuiteCalls:
    return SuiteCalls()


@pytest.mark.parametrize("wsgi", [False, True])
def test_broken_raises_and_names_the_route(wsgi: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """In both kinds of wrapper, before any code of the route."""
    route = armed(wsgi=wsgi)
    monkeypatch.setenv(choice.VARIABLE, "broken")
    with pytest.raises(ArmBroken, match="GET /quote") as caught:
        route() if wsgi else serve(route)
    assert caught.value.route == ROUTE


def test_no_arm_can_be_called_broken() -> None:
    """Or it would never be served by `--penstock-arm broken`."""
    route = armed()
    with pytest.raises(penstock.UsageError, match="'broken' is no arm"):
        route.arm("broken")


def test_what_was_there_before_is_there_afterwards(calls: SuiteCalls, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both variables, the choice and the folder."""
    monkeypatch.setenv(choice.VARIABLE, "mine")
    route = armed()
    before = dict(os.environ)
    calls.force("async")
    assert (serve(route), os.environ[choice.VARIABLE]) == ("async", "async")
    folder = Path(os.environ[calls_file.VARIABLE]).parent
    calls.restore()
    assert dict(os.environ) == before
    assert not folder.exists()
    assert serve(route) == "control"
    assert calls.outside == {(ROUTE, "async")}


def test_a_call_is_of_the_test_that_runs_in_its_phase(calls: SuiteCalls) -> None:
    """Of a fixture it is everybody's who uses that; without a test it is nobody's."""
    route = armed()
    calls.force("control")
    try:
        calls.begin()
        calls.enter("setup")
        with calls.within_fixture("fixture 1", "the fixture shop"):
            serve(route)
        calls.enter("call")
        assert calls.of_test([]) == (RouteCall(ROUTE, "control", "the fixture shop"),)
        serve(route)
        assert len(calls.of_test([])) == 2
        calls.end()
        calls.begin()
        assert calls.of_test([]) == ()
        assert calls.of_test(["fixture 1"]) == (RouteCall(ROUTE, "control", "the fixture shop"),)
        calls.end()
        serve(route)
        assert calls.outside == {(ROUTE, "control")}
    finally:
        calls.restore()


def test_children_tell_by_a_file(calls: SuiteCalls) -> None:
    """Also half a line, which is whole later; and one that writes when the folder is gone fails nobody."""
    calls.force("async")
    try:
        path = Path(os.environ[calls_file.VARIABLE])
        write = calls_file.writer()
        assert write is not None
        calls.begin()
        write(ROUTE, "async")
        with path.open("ab") as file:
            file.write(b'["GET /b", "asy')
        assert calls.of_test([]) == (RouteCall(ROUTE, "async", ""),)
        with path.open("ab") as file:
            file.write(b'nc"]\n')
        assert RouteCall("GET /b", "async", "") in calls.of_test([])
    finally:
        calls.restore()
    write(ROUTE, "async")
    assert not path.exists()
    assert calls_file.writer() is None


def test_who_listens_is_told_instead_of_the_log(calls: SuiteCalls, caplog: pytest.LogCaptureFixture) -> None:
    """A suite that looks at its log sees what it saw without the option."""
    route = armed()
    calls.force("client")
    try:
        assert serve(route) == "control"
    finally:
        calls.restore()
    assert [each.getMessage() for each in caplog.records if each.name.startswith("penstock")] == []
