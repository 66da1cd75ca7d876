"""Which arm a request gets: what a test or a process forces, else the state of the route and the request's key."""

from __future__ import annotations

import os
from collections.abc import Callable, Container
from contextvars import ContextVar
from typing import Any, TypeAlias

from ..errors import ArmBroken
from ..rules.moving.share import in_share
from ..rules.moving.state import BROKEN, CONTROL
from . import calls_file
from .log import LOG
from .once import Once
from .watch import WATCH

VARIABLE = "PENSTOCK_ARM"
FORCED: ContextVar[str | None] = ContextVar("penstock_forced_arm", default=None)
"""For who tests: every route that has an arm of this name serves it, whatever the state says."""
KeyOf: TypeAlias = Callable[[], str | None]
Listener: TypeAlias = Callable[[str, str], None]
"""Hears of each request whose arm is forced: its route, and the arm that serves."""


class ArmChoice:
    """The choice for one route: `names` can serve here, `keyless` is called for each request without a key."""

    def __init__(self, route: str, names: Container[str], keyless: Callable[[], None]) -> None:
        self._route = route
        self._names = names
        self._keyless = keyless
        self._warned = Once()

    def arm(self, key_of: KeyOf) -> str:
        """The name of an arm that is there."""
        forced = FORCED.get() or forced_for_all()
        if forced is not None:
            return self._forced(forced)
        state = WATCH.state.routes.get(self._route)
        if state is None or state.share <= 0:
            return CONTROL
        if state.share < 1 and not self._has_share(state.share, key_of()):
            return CONTROL
        return self._known(state.arm)

    def _has_share(self, share: float, key: str | None) -> bool:
        if not key:
            # By chance, a user would have now one arm and now the other.
            self._keyless()
            return False
        return in_share(self._route, key, share)

    def _forced(self, name: str) -> str:
        if _listener is None:
            arm = name if name == BROKEN else self._known(name)
        else:
            # Who listens says at the end which arms were not there.
            arm = name if name == BROKEN or name in self._names else CONTROL
            _listener(self._route, arm)
        if arm == BROKEN:
            raise ArmBroken(
                f"{self._route} is broken on purpose, since ${VARIABLE} is {BROKEN!r}: a test that calls it is to fail",
                route=self._route,
            )
        return arm

    def _known(self, name: str) -> str:
        if name in self._names:
            return name
        if self._warned.first(name):
            LOG.warning("%s has no arm %r that can serve here, so its control does; said once", self._route, name)
        return CONTROL


def forced_for_all() -> str | None:
    """What `$PENSTOCK_ARM` says for this whole process: read once, since looking it up costs as much as the choice."""
    global _forced
    if _forced is _UNREAD:
        _forced = os.environ.get(VARIABLE) or None
        if _listener is None:
            # A child of a process that tests: a server, for instance.
            listen(calls_file.writer())
    return _forced


def read_anew() -> None:
    """Look at `$PENSTOCK_ARM` again."""
    global _forced
    _forced = _UNREAD


def listen(listener: Listener | None) -> None:
    """From now on `listener` hears of every request whose arm is forced; nobody does where it is None."""
    global _listener
    _listener = listener


_listener: Listener | None = None
_UNREAD: Any = object()
_forced: str | None = _UNREAD
