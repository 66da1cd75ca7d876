"""What is declared for one test, what was found, and a request in an arm without any framework."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator
from typing import Any

from penstock.adapters.effects import before_effect
from penstock.migrate import carry
from penstock.migrate.arms import _Arm, _run
from penstock.migrate.tally import ArmTally

ROUTE = "GET /thing"
call = before_effect
"""What every call of an Http and of a transport does first."""


class Found(list[tuple[str, str, str]]):
    """Route, arm and name of each finding."""

    def __call__(self, route: str, arm: str, name: str) -> None:
        self.append((route, arm, name))

    @property
    def names(self) -> list[str]:
        return [name for _, _, name in self]


@contextlib.contextmanager
def declared(own: list[str] | None = None, **values: Any) -> Iterator[Found]:
    found = Found()
    with carry.anew(found):
        carry.carry(own=own or [], **values)
        yield found


async def serve(function: Callable[..., Any], *, route: str = ROUTE) -> Any:
    """One request of an arm, sync or async, as `penstock.arms` serves it once it has been chosen."""
    is_async = inspect.iscoroutinefunction(function)
    arm = "async" if is_async else "control"
    return await _run(_Arm(arm, function, is_async), ArmTally(route, arm), (), {})
