"""`penstock move roll`."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

import click

from ...clock import SYSTEM_CLOCK
from ...errors import UsageError
from ...migrate.row import name_of
from ...migrate.state_file import change_state, load_state, with_route, workers_folder
from ...migrate.worker_files import WorkerFiles
from ...report.axes import duration
from ...rules.moving.share import share_text
from ...rules.moving.state import CONTROL, ArmsState, BackLimits, RouteState, checked_name
from ..exit_codes import OK, SOME_FAILED, STOPPED
from ..options import Duration
from ..terminal import echo
from .figures import Figures
from .live_line import LiveLine
from .options import P99, Percentage, arms_option, path_of

_READ_EVERY = 0.2
_EXAMPLES = """
\b
Examples:
  penstock move roll "GET /quote/{id}" async 1%
  penstock move roll "GET /quote/{id}" async 1% 10% 50% 100% --hold 10m
  penstock move roll "GET /quote/{id}" async 100% --p99 1.2x --p99 300ms --errors 0.5%
"""


@dataclass(frozen=True, slots=True)
class RollPlan:
    """What was asked for."""

    path: Path
    route: str
    arm: str
    shares: tuple[float, ...]
    hold: float | None
    limits: BackLimits


@click.command(epilog=_EXAMPLES, short_help="Give an arm a share of a route's requests.")
@click.argument("route", metavar="ROUTE")
@click.argument("arm", metavar="ARM")
@click.argument("shares", metavar="SHARE...", type=Percentage(), nargs=-1, required=True)
@click.option("--hold", type=Duration(), default=None, help="For so long each share is kept before the next one.")
@click.option(
    "--p99",
    type=P99(),
    multiple=True,
    help="Back where the arm's p99 is larger: than so many times the control's, or than so long. Repeat it for both. "
    "[default: 1.5x]",
)
@click.option("--errors", type=Percentage(), help="Back where so many more requests fail. [default: 0.1%]")
@click.option("--blocked", type=Percentage(), help="Back where it holds a loop for so much of the time. [default: 20%]")
@click.option("--shed", type=Percentage(), help="Back where so many are refused for the ceiling. [default: 1%]")
@click.option("--no-back", is_flag=True, help="Nothing takes it back but you.")
@arms_option
def roll(
    route: str,
    arm: str,
    shares: tuple[float, ...],
    hold: float | None,
    p99: tuple[tuple[str, float], ...],
    errors: float | None,
    blocked: float | None,
    shed: float | None,
    no_back: bool,
    path: Path | None,
) -> int:
    """Give ARM a share of the requests of ROUTE, such as 10%, or one share after the other, each for --hold.

    The workers see it within 0.2 s, and no app has to run. They take the arm back by themselves where it is worse than
    the control by one of the limits, also when this command has ended.

    Exit code 0: the share is written; with --hold, every share was held. 1: the arm was taken back. 2: wrong usage, or
    the state cannot be read or written. 3: interrupted, or another command has changed the share; it stays as it is.
    """
    if not route.strip() or not arm.strip():
        raise UsageError("ROUTE and ARM must not be empty")
    checked_name(route)
    checked_name(arm)
    if arm == CONTROL:
        raise UsageError(
            "the control has what no arm is given: name another arm, or take it back", command="penstock move back"
        )
    if len(shares) > 1 and hold is None:
        raise UsageError("several shares need --hold, the time that each is kept, such as --hold 10m")
    given = {"errors": errors, "blocked": blocked, "shed": shed}
    limits = _limits(dict(p99), {name: value for name, value in given.items() if value is not None}, no_back=no_back)
    plan = RollPlan(path_of(path), route, arm, shares, hold, limits)
    return _write_once(plan) if hold is None else _hold_all(plan)


def _limits(p99: dict[str, float], given: dict[str, float], *, no_back: bool) -> BackLimits:
    if no_back and (p99 or given):
        raise UsageError("--no-back is said, and a limit is given: leave one of them out")
    if no_back:
        return BackLimits(errors=None, p99_factor=None, p99_seconds=None, blocked=None, shed=None)
    if p99:
        given = {**given, "p99_seconds": p99.get("p99_seconds"), "p99_factor": p99.get("p99_factor")}  # type: ignore[dict-item]
    return BackLimits(**given)


def _write_once(plan: RollPlan) -> int:
    figures = Figures(WorkerFiles(workers_folder(plan.path)))
    _write(plan, plan.shares[0], None)
    echo(f"{plan.route}: {plan.arm} has {share_text(plan.shares[0])}", err=False)
    _warn_of_strangers(plan, figures)
    return OK


def _write(plan: RollPlan, share: float, expected: RouteState | None) -> RouteState | None:
    """Put the share into the state, and say what is there then; None, and nothing is written: it is not the `expected`.

    Between two stages a worker may take the arm back, and this must not give it the next share.
    """
    made: RouteState | None = None

    def change(state: ArmsState) -> ArmsState:
        nonlocal made
        before = state.routes.get(plan.route)
        if expected is not None and before != expected:
            return state
        stage = before.stage + 1 if before is not None and before.arm == plan.arm else 1
        made = RouteState(plan.arm, share, round(SYSTEM_CLOCK.wall(), 3), "roll", stage, plan.limits)
        return with_route(state, plan.route, made)

    change_state(plan.path, change)
    return made


def _warn_of_strangers(plan: RollPlan, figures: Figures) -> None:
    """What is misspelt, or not deployed yet, is written all the same: the app may be about to start."""
    if not figures.workers:
        echo(
            "warning: no worker was seen yet; one that runs and looks at this file has the share within 0.2 s, others "
            "need its path in $PENSTOCK_ARMS"
        )
        return
    known: dict[str, set[str]] = {}
    for each in figures.routes(ArmsState()):
        known[each.route] = {arm.arm for arm in each.arms}
    row = name_of(plan.route)
    if row not in known:
        told = f" (those known are: {', '.join(sorted(known))})" if known else ""
        echo(f"warning: no worker has told of {plan.route!r} yet; is it spelt as in the app?{told}")
    elif plan.arm not in known[row]:
        arms = ", ".join(sorted(known[row] - {CONTROL})) or "none"
        echo(f"warning: no worker has an arm {plan.arm!r} of {plan.route}, so its control serves (known arms: {arms})")


# -- one share after the other ----------------------------------------------------------------------------------------


def _hold_all(plan: RollPlan) -> int:
    try:
        return asyncio.run(_each_in_turn(plan))
    except KeyboardInterrupt:
        echo(f"interrupted: {plan.route} stays as it is, {plan.arm} has {_share_now(plan)}; to take it back:")
        echo(f'penstock move back "{plan.route}"')
        return STOPPED


def _share_now(plan: RollPlan) -> str:
    try:
        found = load_state(plan.path).routes.get(plan.route)
    except UsageError as error:
        return f"the share that the workers know, since {error}"
    return share_text(found.share if found is not None and found.arm == plan.arm else 0.0)


async def _each_in_turn(plan: RollPlan) -> int:
    assert plan.hold is not None
    figures = Figures(WorkerFiles(workers_folder(plan.path)))
    written: RouteState | None = None
    for share in plan.shares:
        before, written = written, _write(plan, share, written)
        if written is None:
            assert before is not None
            return _what_came_of(plan, before) or STOPPED
        if before is None:
            _warn_of_strangers(plan, figures)
        echo(f"{plan.route}: {plan.arm} has {share_text(share)}, for {duration(plan.hold)}", err=False)
        if (code := await _held(plan, written, figures)) is not None:
            return code
    echo(f"{plan.route}: {plan.arm} keeps {share_text(plan.shares[-1])}; every share was held", err=False)
    return OK


async def _held(plan: RollPlan, written: RouteState, figures: Figures) -> int | None:
    """Wait; an exit code where it is over before its time."""
    assert plan.hold is not None
    until = SYSTEM_CLOCK.now() + plan.hold
    with LiveLine(figures, plan.route) as line:
        while (left := until - SYSTEM_CLOCK.now()) > 0:
            await SYSTEM_CLOCK.sleep(min(_READ_EVERY, left))
            code = _what_came_of(plan, written)
            if code is not None:
                return code
            line.show(max(0.0, left))
    return None


def _what_came_of(plan: RollPlan, written: RouteState) -> int | None:
    """None: the stage is as it was written. What cannot be read changes nothing, as in the workers."""
    try:
        found = load_state(plan.path).routes.get(plan.route)
    except UsageError:
        return None
    if found == written:
        return None
    if found is not None and found.back is not None:
        echo(f"{plan.route}: {plan.arm} was taken back: {found.back}")
        return SOME_FAILED
    share = "nothing" if found is None else f"{found.arm} {share_text(found.share)}"
    echo(f"{plan.route}: somebody else has given {share} meanwhile, so this command ends; the share stays as it is")
    return STOPPED
