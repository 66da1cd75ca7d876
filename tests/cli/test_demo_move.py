"""`penstock demo move`: the clients that note, and the verdict; once with everything real."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Any

import pytest

from penstock.cli.demo.move_load import MoveLoad, MoveTally
from penstock.cli.demo.move_report import Rolled, line_of, report
from penstock.cli.main import run_command
from penstock.errors import ConnectionLost
from penstock.messages import Request, Response
from penstock.migrate.bench.comparison import Measured
from penstock.migrate.bench.report import BenchReport
from penstock.rules.moving.refusals import Obstacle
from penstock.testing import ManualClock


def tally(*, served: int = 700, failed: Sequence[float] = (), lost: int = 0) -> MoveTally:
    """What clients got."""
    made = MoveTally()
    for number in range(served):
        made.served("async" if number % 2 else "control", 0.05)
    for moment in failed:
        made.fail(moment)
    made.lost.update({"reset": lost} if lost else {})
    return made


def rolled(**changed: Any) -> Rolled:
    """A run with nothing wrong, but for what is `changed`."""
    good = {"tally": tally(failed=(10.0, 10.2, 10.4)), "code": 0, "failed_before": 0, "back_at": 10.5}
    return Rolled(**{**good, **changed})


def benches() -> list[BenchReport]:
    """Of both routes, on a machine that lets nothing be said."""
    refused = Measured(refused=Obstacle("neighbour", "a neighbour was busy"))
    return [BenchReport(route, 0.25, 0.1, ["control", "async"], refused) for route in ("GET /quote", "GET /label")]


def said(capsys: pytest.CaptureFixture[str]) -> str:
    """What was told, as one line."""
    return " ".join(capsys.readouterr().err.split())


def test_a_good_run_is_judged_good(capsys: pytest.CaptureFixture[str]) -> None:
    """Also where the machine was too busy to measure: a refusal is an answer."""
    assert report(benches(), rolled())
    text = said(capsys)
    assert "NOT" not in text
    assert "taken back by the workers within 2 s (0.5 s, 3 answers of 500)" in text
    assert "a neighbour was busy" in text
    assert "GET /label computes and waits for nothing, so async cannot help it" in text


@pytest.mark.parametrize(
    ("changed", "claim"),
    [
        ({"tally": tally(lost=1)}, "every request was answered"),
        ({"code": 1}, "were held"),
        ({"failed_before": 1}, "nothing failed while they were"),
        ({"back_at": None}, "within 2 s (it was not)"),
        ({"back_at": 12.5}, "within 2 s (2.5 s"),
        ({"tally": tally(failed=(10.0, 11.3))}, "nothing failed after that"),
    ],
)
def test_a_bad_run_is_judged_bad(changed: dict[str, Any], claim: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each claim can fail, and says so."""
    assert not report(benches(), rolled(**changed))
    bad = [line for line in capsys.readouterr().err.splitlines() if line.startswith("  NOT:")]
    assert any(claim in line for line in bad)


def test_a_line_of_the_live_view() -> None:
    """The control first; what went wrong is named only where something did."""
    line = " ".join(line_of(tally(served=100), 2.0).split())
    assert re.fullmatch(r"50 requests/s control 25/s, p99 \d+ ms async 25/s, p99 \d+ ms", line)
    assert "2 answered with 500" in line_of(tally(failed=(1.0, 2.0)), 1.0)
    assert "3 without an answer" in line_of(tally(lost=3), 1.0)
    assert "0 requests/s" in line_of(MoveTally(), 1.0)


class Answers:
    """A client that gives these answers, one after the other, and keeps the requests."""

    def __init__(self, *answers: Response | Exception) -> None:
        self._answers = iter(answers)
        self.asked: list[Request] = []

    async def __call__(self, request: Request) -> Response:
        """The next one."""
        self.asked.append(request)
        answer = next(self._answers)
        if isinstance(answer, Exception):
            raise answer
        return answer


async def _ask(load: MoveLoad, client: Answers) -> None:
    for number in range(len(client.asked), 4):
        await load.ask(client, number)  # type: ignore[arg-type]


def test_each_answer_is_counted_where_it_belongs() -> None:
    """Twice: for the whole run, and for the line that comes next. Each request is of another user."""
    load = MoveLoad("http://127.0.0.1:1", 10.0, ManualClock())
    good = [Response(200, body=b'{"arm": "%s"}' % arm) for arm in (b"control", b"async")]
    client = Answers(*good, Response(500), ConnectionLost("gone"))
    asyncio.run(_ask(load, client))
    lately = load.take_lately()
    assert load.take_lately() == MoveTally()
    for each in (load.tally, lately):
        assert dict(each.by_arm) == {"control": 1, "async": 1}
        assert (each.failed, each.lost.total(), each.requests) == (1, 1, 4)
        assert each.first_failed is not None
    assert len({request.headers.get("x-user-id") for request in client.asked}) == 4


@pytest.mark.real
@pytest.mark.slow
def test_the_demo_of_arms(capfd: pytest.CaptureFixture[str], tmp_path: Any, monkeypatch: Any) -> None:
    """Two workers, the bench, the roll-out and the defect, for real; it leaves nothing behind."""
    pytest.importorskip("uvicorn", reason="the extra 'move' is not installed")
    monkeypatch.chdir(tmp_path)
    assert run_command(["demo", "move", "--seconds", "8", "--requests", "40"]) == 0
    text = " ".join(capfd.readouterr().err.split())
    assert "every share was held" in text
    assert "taken back by the workers: errors" in text
    assert "NOT" not in text
    assert not list(tmp_path.iterdir())
