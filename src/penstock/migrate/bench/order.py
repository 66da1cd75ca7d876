"""`penstock move bench` without its command line: an order in, a report out."""

from __future__ import annotations

import os
import platform
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..._version import __version__
from ...errors import UsageError
from ...extras import how_to_install
from ...rules.moving.refusals import Obstacle
from ...rules.moving.state import CONTROL
from ..choice import VARIABLE
from .comparison import Comparison, Measured
from .cores import Placing, place
from .load_app import FACTORY, SERVED
from .look import AppSeen, look
from .processes import program_of
from .report import BenchReport
from .requests_file import RequestLine, of_another_route, of_route, read_requests
from .servers import GRANIAN, UVICORN, check_template, find_program
from .stage import AGAIN, BenchStage


@dataclass(frozen=True, slots=True)
class BenchOrder:
    """What is asked for; times in seconds, rates a second."""

    app: str
    route: str
    arms: tuple[str, ...]
    target: float
    requests: Path | None = None
    server: str | None = None
    workers: int = 1
    precision: float = 0.03
    seconds: float = 180.0
    peak: float | None = None
    cost: float | None = None


@dataclass(frozen=True, slots=True)
class _Prepared:
    """The order, looked at: nothing runs yet."""

    requests: list[RequestLine]
    command: list[str]
    arms: list[str]
    missing: list[str]
    placing: Placing
    seen: AppSeen
    environment: dict[str, str] = field(repr=False)


def run_order(order: BenchOrder, say: Callable[[str], None]) -> BenchReport:
    """Measure. Raises UsageError before anything is sent where the order cannot be carried out."""
    ready = _prepare(order)
    empty = BenchReport(order.route, order.target, order.precision, ready.arms, Measured(), missing=ready.missing)
    if len(ready.arms) < 2:
        nothing = Obstacle("arms", f"there is nothing to compare: {_unknown(order, ready)}")
        return replace(empty, found=Measured(refused=nothing))
    head = _head(order, ready)
    for line in head:
        say(line)
    with _stage(order, ready) as stage:
        other = _other_python(stage)
        for line in other:
            say(line)
        comparison = Comparison(
            stage,
            ready.arms,
            target=order.target,
            precision=order.precision,
            seconds=order.seconds,
            cores=min(order.workers, len(ready.placing.server)),
            say=say,
        )
        found = comparison.run()
    return replace(
        empty,
        found=found,
        head=[*head, *other],
        spoilt=comparison.spoilt(),
        spreads=comparison.spreads(),
        peak=order.peak,
        cost=order.cost,
    )


def _stage(order: BenchOrder, ready: _Prepared) -> BenchStage:
    return BenchStage(
        ready.command,
        ready.arms,
        ready.requests,
        workers=order.workers,
        target=order.target,
        placing=ready.placing,
        environment=ready.environment,
    )


def _prepare(order: BenchOrder) -> _Prepared:
    if not Path("/proc/self/stat").exists():
        raise UsageError("penstock move bench needs Linux: it reads what servers use from /proc")
    requests = read_requests(order.requests) if order.requests is not None else [of_route(order.route)]
    command = _command(order.server)
    environment = dict(os.environ)
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment.get('PATH', '')}"
    seen = look(order.app, environment | {VARIABLE: CONTROL})
    if seen.factory:
        environment[FACTORY] = order.app
    app = SERVED if seen.factory else order.app
    arms, missing = _arms(order.arms, order.route, seen)
    check_served(order.route, order.server, seen)
    filled = [word.replace("{app}", app) for word in command]
    return _Prepared(requests, filled, arms, missing, place(order.workers), seen, environment)


def _arms(asked: Sequence[str], route: str, seen: AppSeen) -> tuple[list[str], list[str]]:
    """The arms to measure, the control first, and those that the route has not."""
    if CONTROL not in asked:
        raise UsageError(
            f"the first arm to name is {CONTROL!r}: what is there today, which others are measured against"
        )
    if len(asked) == 1:
        raise UsageError("an arm alone says nothing: name the arms to compare with the control, or the control again")
    if AGAIN in asked or asked.count(CONTROL) > 2 or len(set(asked)) < len(asked) - (asked.count(CONTROL) - 1):
        raise UsageError("an arm is named twice; only 'control control' means something: the same against itself")
    if seen.arms and route not in seen.arms:
        known = ", ".join(sorted(seen.arms))
        raise UsageError(f"{route!r} has no arms; penstock.arms knows of: {known}")
    others = [arm for arm in asked if arm != CONTROL]
    missing = [arm for arm in others if seen.arms and arm not in seen.arms[route]]
    again = [AGAIN] if asked.count(CONTROL) == 2 else []
    return [CONTROL, *again, *(arm for arm in others if arm not in missing)], missing


def check_served(route: str, server: str | None, seen: AppSeen) -> None:
    """Raise UsageError where no request can come to the arms."""
    if route in seen.bypassed:
        raise UsageError(
            f"the app serves {route} without its arms: the decorator of the framework, such as @app.get, stands "
            "above @penstock.arms, not below"
        )
    if route in seen.plain and server is None:
        raise UsageError(
            f"{route} is served under WSGI (wsgi=True): give --server, such as "
            "'gunicorn -b 127.0.0.1:{port} -w {workers} --threads 8 {app}'"
        )


def _command(template: str | None) -> list[str]:
    path = os.environ.get("PATH", "")
    if template is None:
        template = next((each for each in (GRANIAN, UVICORN) if find_program(each, path) is not None), None)
        if template is None:
            raise UsageError(f"there is neither granian nor uvicorn to serve the app: {how_to_install('move')}")
    check_template(template)
    program = find_program(template, path)
    words = shlex.split(template)
    if program is None:
        raise UsageError(f"--server: there is no program {words[0]!r}")
    return [program, *words[1:]]


def _unknown(order: BenchOrder, ready: _Prepared) -> str:
    known = ", ".join(ready.seen.arms.get(order.route, [])) or "none"
    return f"{order.route!r} has no arm {' or '.join(map(repr, ready.missing))}; it has beside the control: {known}"


def _head(order: BenchOrder, ready: _Prepared) -> list[str]:
    """What a reader of the result must know of how it came about."""
    server = " ".join([Path(ready.command[0]).name, *ready.command[1:]])
    lines = [
        f"penstock {__version__}, Python {platform.python_version()}, {ready.placing}",
        f"server: {server.replace('{workers}', str(order.workers))}",
    ]
    if elsewhere := of_another_route(order.route, ready.requests):
        lines.append(elsewhere)
    if order.workers > len(ready.placing.server):
        lines.append(
            f"warning: {order.workers} workers on {len(ready.placing.server)} core(s): they are in each other's way"
        )
    if not ready.seen.has_uvloop:
        lines.append("warning: uvloop is not there; an async arm may need more CPU than with it")
    if not ready.seen.arms:
        lines.append(f"warning: penstock.arms is not used by the app; what ${VARIABLE} does there is taken on trust")
    if ready.seen.factory:
        lines.append(f"{ready.seen.factory} is called once in each worker")
    return lines


def _other_python(stage: BenchStage) -> list[str]:
    """A warning where the server runs in another Python than the one that looked at the app."""
    mine = os.path.realpath(sys.executable)
    programs = {program for server in stage.servers.values() for pid in server.pids() if (program := program_of(pid))}
    other = sorted(each for each in programs if "python" in Path(each).name and each != mine)
    return [f"warning: the server runs in {other[0]}, and this command in {mine}"] if other else []
