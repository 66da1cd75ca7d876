"""What Prometheus is told: the sum of all workers, those too that are dead, at a path of the app or by a registry."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

import penstock
from penstock.clock import SYSTEM_CLOCK
from penstock.errors import UsageError
from penstock.migrate import table
from penstock.migrate.metrics import MoveSource, families, metrics_text
from penstock.migrate.scrape import collector
from penstock.migrate.serving import SERVING
from penstock.migrate.state_file import change_state, with_route, workers_folder
from penstock.migrate.tally import Tallies
from penstock.migrate.watch import WATCH
from penstock.migrate.worker_file import OwnFile
from penstock.migrate.worker_files import WorkerFiles
from penstock.rules.moving.state import ArmsState, RouteState

ROUTE = "GET /quote/{id}"
STATE = ArmsState({ROUTE: RouteState("async", 0.25, 0.0)})


@pytest.fixture(autouse=True)
def nowhere_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test before has said where the state is."""
    monkeypatch.setattr(WATCH, "path", None)
    SERVING.after_fork()


def busy(tallies: Tallies) -> Tallies:
    """A bit of everything."""
    control, arm = tallies.of(ROUTE, "control"), tallies.of(ROUTE, "async")
    for tally, seconds in ((control, 0.02), (arm, 0.2)):
        for number in range(10):
            tally.begin()
            tally.end(seconds, failed=number < 2)
    arm.begin()
    arm.refuse()
    arm.block(0.5)
    arm.lose("user")
    arm.take_back("p99: 2 s")
    control.without_key()
    return tallies


def worker(path: Path, *, alive: bool) -> OwnFile:
    """One that has done that."""
    own = OwnFile(workers_folder(path), busy(Tallies()), SYSTEM_CLOCK)
    if not alive:
        own.close()
    return own


def samples(text: bytes) -> dict[str, float]:
    """As Prometheus reads it."""
    found = {}
    for family in text_string_to_metric_families(text.decode()):
        for each in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(each.labels.items()))
            found[f"{each.name}{{{labels}}}"] = each.value
    return found


def source(path: Path, tallies: Tallies | None = None) -> MoveSource:
    """Read there."""
    files = WorkerFiles(workers_folder(path))
    return MoveSource(path, files, tallies or Tallies(), lambda: STATE, lambda: 3.5)


ASYNC = f"arm=async,route={ROUTE}"
WANTED = {
    f"penstock_route_seconds_count{{{ASYNC}}}": 30,
    f"penstock_route_seconds_sum{{{ASYNC}}}": pytest.approx(6.0),
    f"penstock_route_seconds_bucket{{arm=async,le=0.1,route={ROUTE}}}": 0,
    f"penstock_route_seconds_bucket{{arm=async,le=0.25,route={ROUTE}}}": 30,
    f"penstock_route_seconds_bucket{{arm=async,le=+Inf,route={ROUTE}}}": 30,
    f"penstock_route_seconds_bucket{{arm=control,le=0.025,route={ROUTE}}}": 30,
    f"penstock_route_errors_total{{{ASYNC}}}": 6,
    # The dead one has none any more.
    f"penstock_route_in_flight{{{ASYNC}}}": 2,
    f"penstock_route_shed_total{{{ASYNC}}}": 3,
    f"penstock_route_keyless_total{{arm=control,route={ROUTE}}}": 3,
    f"penstock_blocked_seconds_total{{{ASYNC}}}": pytest.approx(1.5),
    f"penstock_context_lost_total{{arm=async,name=user,route={ROUTE}}}": 3,
    f"penstock_arm_share{{{ASYNC}}}": 0.25,
    f"penstock_arm_back_total{{reason=p99,route={ROUTE}}}": 3,
    "penstock_arms_state_age_seconds{}": 3.5,
}


def test_all_workers_are_summed(tmp_path: Path) -> None:
    """Two that live and one that is dead; Prometheus reads the text."""
    path = tmp_path / "arms.json"
    owns = [worker(path, alive=alive) for alive in (True, True, False)]
    found = samples(metrics_text(source(path)))
    assert {name: found.get(name) for name in WANTED} == WANTED
    assert [own.path.exists() for own in owns] == [True] * 3


def test_every_family_is_told_without_any_request(tmp_path: Path) -> None:
    """So that a rule on it is no error before the first one."""
    names = {family.name for family in families(source(tmp_path / "arms.json"))}
    assert len(names) == 10
    assert all(name.startswith("penstock_") for name in names)


def test_a_worker_that_cannot_write_tells_of_itself(tmp_path: Path) -> None:
    """It is not the sum, and better than nothing."""
    found = samples(metrics_text(source(tmp_path / "arms.json", busy(Tallies()))))
    assert found[f"penstock_route_errors_total{{{ASYNC}}}"] == 2
    assert found[f"penstock_route_in_flight{{{ASYNC}}}"] == 1


def ask(app: Any, path: str, method: str = "GET") -> tuple[int, dict[bytes, bytes], bytes]:
    """One request, as a server makes it."""
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b""}

    scope = {"type": "http", "method": method, "path": path, "headers": []}
    asyncio.run(app(scope, receive, send))
    return sent[0]["status"], dict(sent[0]["headers"]), b"".join(each.get("body", b"") for each in sent[1:])


async def _app(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def test_the_middleware_answers_a_path(tmp_path: Path) -> None:
    """And nothing else; for nobody where it was not told to."""
    worker(WATCH.path or tmp_path / "arms.json", alive=False)
    change_state(tmp_path / "arms.json", lambda state: with_route(state, ROUTE, STATE.routes[ROUTE]))
    busy(table.TALLIES)
    app = penstock.MoveMiddleware(_app, metrics="/penstock/metrics")
    status, fields, text = ask(app, "/penstock/metrics")
    assert status == 200
    assert fields[b"content-type"].startswith(b"text/plain; version=0.0.4")
    assert int(fields[b"content-length"]) == len(text)
    assert samples(text)[f"penstock_route_errors_total{{{ASYNC}}}"] >= 2
    assert ask(app, "/penstock/metrics", "POST")[0] == 405
    assert ask(app, "/penstock/metrics/x")[0] == 204
    assert ask(penstock.MoveMiddleware(_app), "/penstock/metrics")[0] == 204


def ask_wsgi(app: Any, path: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    """One request, as a server makes it."""
    begun: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(status: str, headers: list[tuple[str, str]]) -> None:
        begun.append((status, headers))

    body = b"".join(app({"REQUEST_METHOD": method, "SCRIPT_NAME": "", "PATH_INFO": path}, start_response))
    return int(begun[0][0].split()[0]), dict(begun[0][1]), body


def _wsgi_app(environ: Any, start_response: Any) -> list[bytes]:
    start_response("204 No Content", [])
    return []


def test_its_twin_for_wsgi_does_so_as_well(tmp_path: Path) -> None:
    worker(WATCH.path or tmp_path / "arms.json", alive=False)
    busy(table.TALLIES)
    app = penstock.MoveWSGIMiddleware(_wsgi_app, metrics="/penstock/metrics")
    status, fields, text = ask_wsgi(app, "/penstock/metrics")
    assert status == 200
    assert int(fields["content-length"]) == len(text)
    assert samples(text)[f"penstock_route_errors_total{{{ASYNC}}}"] >= 2
    status, fields, text = ask_wsgi(app, "/penstock/metrics", "HEAD")
    assert (status, text, int(fields["content-length"]) > 1000) == (200, b"", True)
    assert ask_wsgi(app, "/penstock/metrics", "POST")[0] == 405
    assert ask_wsgi(app, "/penstock/metrics/x")[0] == 204
    assert ask_wsgi(penstock.MoveWSGIMiddleware(_wsgi_app), "/penstock/metrics")[0] == 204


def test_a_path_that_is_none_is_refused() -> None:
    """When the app is made."""
    for make in (
        lambda: penstock.MoveMiddleware(_app, metrics="m"),
        lambda: penstock.MoveWSGIMiddleware(_wsgi_app, metrics="m"),
    ):
        with pytest.raises(UsageError, match="'m' is no path; write one such as '/penstock/metrics'"):
            make()


def test_a_registry_of_the_app_can_have_them() -> None:
    """Beside its own metrics."""
    busy(table.TALLIES)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector())
    labels = {"route": ROUTE, "arm": "async"}
    assert registry.get_sample_value("penstock_route_errors_total", labels) == 2
