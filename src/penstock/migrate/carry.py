"""`penstock.carry`: what has to be the same in both colours, declared once and looked at in every request of an arm.

A look costs a reading of each name. It is taken at the entry; in the thread of a sync arm before and after it; after
each wait of an async arm (functions only); before each call of an Http or a transport; and at the exit.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from typing import Any

from ..adapters.bridge import runs_in_a_loop
from ..adapters.effects import tell_before_effects, tell_no_more
from ..rules.moving.context import CarryFinding
from .checks import CarryCheck, OpenChecks
from .declared import Carried, Declared
from .findings import Findings, SeenAt
from .table import TALLIES
from .under_way import UNDER_WAY


def carry(*, own: Iterable[str] = (), **values: Carried) -> None:
    """Declare what each request carries: `carry(user=current_user, trace=trace_id)`. Once, where the app is made.

    Each is a ContextVar, or a function that needs no arguments and gives something that can be compared; None, and a
    function that raises, are no value. `own` names those that no two requests may have at once, such as a session of
    the database. What is lost, changed or shared is counted for its route and arm, and told once for each place in the
    log `penstock.move`, without the value. More calls add names. Raises UsageError.
    """
    _declared.add(values, own)
    tell_before_effects(_effect)


def enter(route: str, arm: str) -> CarryCheck | None:
    """A request enters an arm, in this context. None where nothing is declared."""
    if not _declared:
        return None
    outer = _current.get(None)
    if not isinstance(outer, CarryCheck) or outer.left:
        outer = None
    check = CarryCheck(route, arm, _declared, _findings, _open, outer)
    _current.set(check)
    request = UNDER_WAY.get()
    if request is not None and outer is None:
        request.check = check
    return check


def leave(check: CarryCheck | None) -> None:
    """It has left the arm, in the context in which it entered."""
    if check is not None:
        check.leave()
        # Not as it was: work of this request that comes later, in the background, is no stranger here.
        _current.set(check.outer or _AFTERWARDS)


def _effect() -> None:
    check = _current.get(None)
    if check is None:
        _stray()
    elif isinstance(check, CarryCheck):
        check.effect()


def _stray() -> None:
    """The context is that of no request. In a loop that may be as it should be, for a task that serves them all."""
    if runs_in_a_loop():
        return
    whose = _open.whose()
    if whose is None:
        return
    for name, value in _declared.read().items():
        if value is None:
            _findings.tell(*whose, name, CarryFinding.LOST, SeenAt.STRAY)


def in_its_thread(check: CarryCheck | None, function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, a sync arm, looked at before and after in the thread that it runs in."""
    if check is None:
        return function

    def looked_at(*arguments: Any, **named: Any) -> Any:
        check.start()
        try:
            return function(*arguments, **named)
        finally:
            check.finish()

    return looked_at


def for_steps(check: CarryCheck | None) -> CarryCheck | None:
    """What looks at each step of an async arm, if anything can change while it waits."""
    return check if _declared.has_functions else None


@contextlib.contextmanager
def anew(count: Callable[[str, str, str], None]) -> Iterator[None]:
    """For tests: nothing is declared within the block, and `count` is given each finding."""
    global _declared, _findings, _open
    before = _declared, _findings, _open
    _declared, _findings, _open = Declared(), Findings(count), OpenChecks()
    try:
        yield
    finally:
        _declared, _findings, _open = before
        if not _declared:
            tell_no_more(_effect)


def _count(route: str, arm: str, name: str) -> None:
    TALLIES.of(route, arm).lose(name)


_AFTERWARDS = object()
_current: ContextVar[CarryCheck | object | None] = ContextVar("penstock_carry", default=None)
_declared = Declared()
_findings = Findings(_count)
_open = OpenChecks()
