"""What a connection needs of its server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from .exchange import Handler, ServerExchange
from .limits import ServerLimits

Kept = TypeVar("Kept", contravariant=True)


class ServerKeeper(Protocol[Kept]):
    """Who a connection reports to: its server."""

    handler: Handler
    limits: ServerLimits
    on_answered: Callable[[ServerExchange | None, int, int], None] | None

    def made(self, connection: Kept) -> None:
        """The connection is open."""
        ...

    def lost(self, connection: Kept) -> None:
        """The connection is closed for good."""
        ...
