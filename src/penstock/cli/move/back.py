"""`penstock move back`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import click

from ...clock import SYSTEM_CLOCK
from ...migrate.state_file import change_state, load_state_that_was, without_share
from ...rules.moving.share import share_text
from ...rules.moving.state import ArmsState
from ..terminal import echo
from .options import arms_option, path_of

_BY_HAND = "by hand"
_EXAMPLES = """
\b
Examples:
  penstock move back "GET /quote/{id}"
  penstock move back
"""


@click.command(epilog=_EXAMPLES, short_help="Give all requests back to the control.")
@click.argument("route", required=False, metavar="[ROUTE]")
@arms_option
def back(route: str | None, path: Path | None) -> int:
    """Take the share of ROUTE's arm away, or those of all routes: from 0.2 s later on, the control serves them.

    Requests under way end in the arm that they are in. No app has to run.

    Exit code 0: done, also where there was nothing to take back. 2: wrong usage, or the state cannot be read or
    written.
    """
    place = path_of(path)
    before = load_state_that_was(place)
    taken = _moving(before, route)
    if not taken:
        echo(_nothing(before, route, place), err=False)
        return 0
    after = change_state(place, _taking(route))
    for name in taken:
        was, now = before.routes[name], after.routes[name]
        echo(f"{name}: {was.arm} had {share_text(was.share)} and has {share_text(now.share)}", err=False)
    return 0


def _taking(route: str | None) -> Callable[[ArmsState], ArmsState]:
    def change(state: ArmsState) -> ArmsState:
        now = SYSTEM_CLOCK.wall()
        taken = {name: without_share(state.routes[name], _BY_HAND, "hand", now) for name in _moving(state, route)}
        return replace(state, routes={**state.routes, **taken})

    return change


def _moving(state: ArmsState, route: str | None) -> list[str]:
    return [name for name, each in state.routes.items() if each.share > 0 and route in (None, name)]


def _nothing(state: ArmsState, route: str | None, path: Path) -> str:
    if route is None:
        return f"nothing to take back: no route in {path} has a share"
    if route in state.routes:
        return f"nothing to take back: {route} has no share"
    known = f"; there are: {', '.join(sorted(state.routes))}" if state.routes else ""
    return f"nothing to take back: {route} is not in {path}{known}"
