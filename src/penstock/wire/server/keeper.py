"""What a connection needs of its server."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol, TypeVar

from .exchange import Handler, OnAnswered, OnKnown
from .limits import ServerLimits

_log = logging.getLogger(__name__)
Kept = TypeVar("Kept", contravariant=True)


class ServerKeeper(Protocol[Kept]):
    """Who a connection reports to: its server."""

    handler: Handler
    limits: ServerLimits
    on_answered: OnAnswered | None
    on_known: OnKnown | None

    def made(self, connection: Kept) -> None:
        """The connection is open."""
        ...

    def lost(self, connection: Kept) -> None:
        """The connection is closed for good."""
        ...


def tell(listener: Callable[..., None] | None, *told: object) -> None:
    """Call `listener`, if there is one; whatever it raises, the server goes on."""
    try:
        if listener is not None:
            listener(*told)
    except Exception:  # noqa: BLE001 - see above
        _log.exception("a listener of the server failed: %r", listener)
