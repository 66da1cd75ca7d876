"""A request that is ready to go."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from ..errors import UsageError
from ..messages import Response
from .connection import Connection
from .pool import OriginPool


class PreparedRequest:
    """A request with a connection reserved for it; nothing is sent yet. Call `send` or `release`, once."""

    __slots__ = ("_connection", "_exchange", "_pool")

    def __init__(
        self, exchange: Callable[[Connection], Awaitable[Response]], pool: OriginPool, connection: Connection
    ) -> None:
        self._exchange = exchange
        self._pool = pool
        self._connection: Connection | None = connection

    async def send(self) -> Response:
        """Send now. Where the connection was closed or grew too old meanwhile, a new one is opened first.

        Raises what the call itself would raise, and UsageError when it was sent or released before.
        """
        connection, self._connection = self._connection, None
        if connection is None:
            raise UsageError("this prepared request was already sent or released")
        if not self._pool.may_use(connection):
            connection.close()
            connection = await self._pool.open_in_slot()
        return await self._exchange(connection)

    def release(self) -> None:
        """Give the connection back. Does nothing where the request was already sent or released."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._pool.unused(connection)
