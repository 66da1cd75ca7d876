"""`penstock move status`."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import click
import orjson

from ...clock import SYSTEM_CLOCK
from ...errors import UsageError
from ...migrate.state_file import load_state_that_was, workers_folder
from ...migrate.worker_files import WorkerFiles
from ...report.axes import duration
from ...rules.moving.share import share_text
from ...rules.moving.state import ArmsState, RouteState
from ..terminal import folded, terminal_width
from .figures import HEADERS, Figures, RouteFigures, cells, looked_twice
from .options import arms_option, path_of
from .status_table import table

_SECONDS = 1.0
_FIRST_SEEN = "workers show once this file is there, a route once it had a request"
_EXAMPLES = """
\b
Examples:
  penstock move status
  penstock move status "GET /quote/{id}" --watch
  penstock move status --json | jq '.routes[].state.share'
"""


@click.command(epilog=_EXAMPLES, short_help="Shares of arms, and what the workers do with them.")
@click.argument("route", required=False, metavar="[ROUTE]")
@click.option("--watch", is_flag=True, help="Show it again every second until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="As JSON on standard output; with --watch a line each time.")
@arms_option
def status(route: str | None, watch: bool, as_json: bool, path: Path | None) -> int:
    """Show for each route and arm: share, requests and errors of the last second, and what was counted in all.

    It takes a second where workers serve. They are only read, and notice nothing.

    Exit code 0; 1: the state cannot be read, so that the workers keep what they know. 2: wrong usage.
    """
    try:
        return asyncio.run(_show(path_of(path), route, watch=watch, as_json=as_json))
    except KeyboardInterrupt:
        # That is how --watch ends.
        return 0


async def _show(path: Path, route: str | None, *, watch: bool, as_json: bool) -> int:
    figures = Figures(WorkerFiles(workers_folder(path)))
    lines_above = 0
    await looked_twice(figures, _SECONDS)
    while True:
        state, problem = _state_of(path)
        routes = figures.routes(state, route)
        if as_json:
            options = orjson.OPT_APPEND_NEWLINE | (0 if watch else orjson.OPT_INDENT_2)
            sys.stdout.write(orjson.dumps(_as_json(path, figures, routes, problem), option=options).decode())
            sys.stdout.flush()
        else:
            lines_above = _draw(_lines(path, figures, routes, problem, route), lines_above)
        if not watch:
            return 0 if problem is None else 1
        await SYSTEM_CLOCK.sleep(_SECONDS)
        figures.look()


def _state_of(path: Path) -> tuple[ArmsState, str | None]:
    try:
        return load_state_that_was(path), None
    except UsageError as error:
        return ArmsState(), str(error)


def _draw(lines: list[str], lines_above: int) -> int:
    """Print them over the `lines_above` lines printed before; returns how many there are now, on a terminal."""
    shown = folded("\n".join(lines), err=False)
    if lines_above:
        # Up to the first of them, and clear from there on.
        click.echo(f"\x1b[{lines_above}F\x1b[J", nl=False)
    click.echo("\n".join(shown))
    return len(shown) if sys.stdout.isatty() else 0


def _as_json(path: Path, figures: Figures, routes: list[RouteFigures], problem: str | None) -> dict[str, Any]:
    workers = [{"pid": each.pid, "started": each.started} for each in figures.workers]
    return {
        # A path is bytes, which need not be text.
        "arms": os.fsencode(path).decode(errors="replace"),
        "problem": problem,
        "workers": workers,
        "silent": [each.pid for each in figures.silent()],
        "routes": [each.as_json() for each in routes],
    }


def _lines(
    path: Path, figures: Figures, routes: list[RouteFigures], problem: str | None, only: str | None
) -> list[str]:
    lines = [f"{path}: {_workers(figures)}"]
    if problem is not None:
        lines.append(f"  {problem}; every worker keeps the shares that it knew, and no route is shown with its own")
    stopped = "does not go on: it is stopped, or something holds its interpreter"
    lines += [f"  worker {each.pid} {stopped}" for each in figures.silent()]
    if not routes:
        lines.append(f"  nothing is known of {'any route' if only is None else only}; {_FIRST_SEEN}")
    for route in routes:
        stage = _stage(route, readable=problem is None, seen=bool(figures.workers))
        lines += ["", f"{route.route}   {stage}", *table([list(HEADERS), *map(cells, route.arms)], terminal_width())]
    return lines


def _workers(figures: Figures) -> str:
    count = len(figures.workers)
    return "no worker was seen" if not count else "1 worker" if count == 1 else f"{count} workers"


def _stage(route: RouteFigures, *, readable: bool, seen: bool) -> str:
    state = route.state
    if state is None:
        return "all to the control: nobody has rolled it" if readable else "its shares are those that each worker knew"
    ago = duration(max(0.0, SYSTEM_CLOCK.wall() - state.since))
    if state.back is not None:
        return f"{state.arm} was taken back {ago} ago, {state.back}"
    stage = f"stage {state.stage}: " if state.stage else ""
    span = f" for {ago}" if state.since else ""
    stranger = _stranger(route, state) if seen else ""
    return f"{stage}{state.arm} has {share_text(state.share)}{span}, by {state.by}{stranger}"


def _stranger(route: RouteFigures, state: RouteState) -> str:
    """What is perhaps misspelt."""
    if not route.told:
        return "; no worker has told of this route yet"
    return "" if state.arm in route.told else f"; no worker has an arm {state.arm!r}, so the control serves"
