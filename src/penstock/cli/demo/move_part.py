"""`penstock demo move`: a service is measured, its async arm rolled out, broken, and taken back by itself."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click

from ...clock import SYSTEM_CLOCK
from ...errors import UsageError
from ...extras import how_to_install
from ...migrate.bench.order import BenchOrder, run_order
from ...migrate.bench.report import BenchReport
from ...migrate.bench.servers import UVICORN
from ...migrate.choice import VARIABLE
from ...migrate.state_file import load_state
from ...rules.moving.state import CONTROL, RouteState
from ..loop import run_loop
from .move_load import MoveLoad
from .move_names import CALLS, DEFECT, LABEL, QUOTE, SUPPLIERS
from .move_report import Rolled, line_of, report
from .stage import PENSTOCK, free_ports, listening, server, tell

APP = "penstock.cli.demo.move_app:app"
_LATENCY = 0.01
_TARGET = 0.25
_PEAK = 10_000.0
_TODAY = 3.0
_HOLD = 2
_SHARES = ("1%", "50%", "100%")
_PATIENCE = 8.0
_STATE = "PENSTOCK_ARMS"


def move_routes(seconds: float, rate: int) -> bool:
    """Run this part; `seconds` is the time to measure in, `rate` the requests a second. Whether all is well."""
    if importlib.util.find_spec("uvicorn") is None:
        raise UsageError(f"penstock demo move needs uvicorn: {how_to_install('move')}")
    with (
        tempfile.TemporaryDirectory(prefix="penstock-demo-") as name,
        server("fault_server", "--latency", str(_LATENCY)) as suppliers,
    ):
        environment = {SUPPLIERS: suppliers, DEFECT: f"{name}/defect", _STATE: f"{name}/arms.json"}
        stage = MoveStage(Path(name), environment, rate)
        with stage.service():
            run_loop(stage.watch_today(_TODAY))
            # The service has nothing to do meanwhile. Those that are measured are started for that.
            reports = measure({**environment, _STATE: f"{name}/bench.json"}, seconds)
            rolled = run_loop(stage.roll_and_break())
    return report(reports, rolled)


def measure(environment: dict[str, str], seconds: float) -> list[BenchReport]:
    """Both routes, each arm in pure processes."""
    tell(f"\n2. What would it be worth? Each arm of {QUOTE} in a server of its own, in turns:\n")
    with _set(environment):
        quote = _bench(QUOTE, (CONTROL, "client", "async"), seconds * 0.7)
        tell(f"\n   and of {LABEL}, which computes:\n")
        return [quote, _bench(LABEL, (CONTROL, "async"), seconds * 0.3)]


def _bench(route: str, arms: tuple[str, ...], seconds: float) -> BenchReport:
    command = ["move", "bench", APP, route, *arms, "--p99", "250ms", "--peak", "10000/s"]
    click.echo(f"  penstock {shlex.join(command)} --max-time {seconds:.0f}s\n", err=True)
    order = BenchOrder(APP, route, arms, _TARGET, server=UVICORN, precision=0.1, seconds=seconds, peak=_PEAK)
    return run_order(order, lambda line: tell(f"  {line}"))


class MoveStage:
    """The service, its clients, and what happens when."""

    def __init__(self, folder: Path, environment: dict[str, str], rate: int) -> None:
        self._environment = environment
        self._state = Path(environment[_STATE])
        self._defect = Path(environment[DEFECT])
        self._folder = folder
        self._rate = rate
        self._port = free_ports(1)[0]
        self._shown_at = SYSTEM_CLOCK.now()
        self._load = self._new_load()

    @contextlib.contextmanager
    def service(self) -> Iterator[None]:
        """Two workers."""
        command = ["uvicorn", APP, "--port", str(self._port), "--workers", "2"]
        tell(
            f"1. A service of two routes: {QUOTE} asks {CALLS} suppliers, each of which takes "
            f"{_LATENCY * 1000:.0f} ms, "
            "with the client of the standard library; "
            f"{LABEL} computes. {self._rate} users a second ask for a quote."
        )
        # Not folded: it is there to be copied.
        click.echo(f"\n  {shlex.join(command)}\n", err=True)
        command = [sys.executable, "-m", *command, "--no-access-log", "--log-level", "critical"]
        environment = {name: value for name, value in os.environ.items() if name != VARIABLE} | self._environment
        with (self._folder / "service.log").open("wb") as log:
            process = subprocess.Popen(  # noqa: S603  # our own app
                command, env=environment, stdout=log, stderr=log
            )
        try:
            yield
        finally:
            process.terminate()
            process.wait()

    async def watch_today(self, seconds: float) -> None:
        """How it is before anything is changed."""
        await listening(self._port)
        async with asyncio.TaskGroup() as group:
            self._load = self._new_load()
            group.create_task(self._load.run())
            await self._watch(seconds)
            self._load.stop()

    async def roll_and_break(self) -> Rolled:
        """All shares one after the other, then the planted defect."""
        command = ["move", "roll", QUOTE, "async", *_SHARES, "--hold", f"{_HOLD}s"]
        tell("\n3. Rolled out, with the same load; shares go by user, and both workers see them within 0.2 s:\n")
        click.echo(f"  penstock {shlex.join(command)}\n", err=True)
        async with asyncio.TaskGroup() as group:
            self._load = self._new_load()
            group.create_task(self._load.run())
            code = await self._roll(command)
            failed_before = self._load.tally.failed
            tell("  -- the async arm begins to fail, and the command is gone --")
            self._defect.touch()
            back_at = await self._until_back()
            await self._watch(2.0)
            self._load.stop()
        return Rolled(self._load.tally, code, failed_before, back_at)

    async def _roll(self, command: list[str]) -> int:
        process = await asyncio.create_subprocess_exec(
            *PENSTOCK,
            *command,
            "--arms",
            str(self._state),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        assert process.stdout is not None
        watching = asyncio.create_task(self._watch(600.0))
        try:
            async for line in process.stdout:
                tell(f"  {line.decode().rstrip()}")
            return await process.wait()
        finally:
            watching.cancel()

    async def _until_back(self) -> float | None:
        """The moment at which the share was seen to be 0; None: it was not."""
        until = SYSTEM_CLOCK.now() + _PATIENCE
        while SYSTEM_CLOCK.now() < until:
            await SYSTEM_CLOCK.sleep(0.02)
            if (route := self._route()).back is not None:
                tell(f"  -- taken back by the workers: {route.back} --")
                return SYSTEM_CLOCK.now()
        return None

    def _route(self) -> RouteState:
        return load_state(self._state).routes[QUOTE]

    async def _watch(self, seconds: float) -> None:
        """One line a second."""
        until = SYSTEM_CLOCK.now() + seconds
        while (left := until - SYSTEM_CLOCK.now()) > 0:
            await SYSTEM_CLOCK.sleep(left if left < 1.5 else 1.0)
            now = SYSTEM_CLOCK.now()
            span, self._shown_at = now - self._shown_at, now
            tell(line_of(self._load.take_lately(), span))

    def _new_load(self) -> MoveLoad:
        self._shown_at = SYSTEM_CLOCK.now()
        return MoveLoad(f"http://127.0.0.1:{self._port}", self._rate, SYSTEM_CLOCK)


@contextlib.contextmanager
def _set(values: dict[str, str]) -> Iterator[None]:
    """The bench gives its servers this process's environment."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
