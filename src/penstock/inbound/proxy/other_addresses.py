"""The addresses that are not for clients: admin and metrics."""

from __future__ import annotations

from ...observe.exposition import check_available
from ...wire.server import Handler, Server, ServerLimits
from .admin import AdminHandler
from .desk import Desk
from .metrics_address import MetricsHandler
from .snapshot import Watched

_LIMITS = ServerLimits(max_connections=256, max_connections_per_address=None, max_head_bytes=32 * 1024)
_DRAIN_SECONDS = 1.0


class OtherAddresses:
    """Those that are open."""

    def __init__(self) -> None:
        self._servers: list[Server] = []

    async def start_admin(self, asked: Watched | Desk, host: str, port: int, token: str) -> int:
        """Listen for who has `token` (see `AdminHandler`); returns the port.

        Raises UsageError where the address cannot be had, and for a token that is too short or cannot be sent.
        """
        return await self._start(AdminHandler(asked, token), host, port)

    async def start_metrics(self, asked: Watched | Desk, host: str, port: int) -> int:
        """Serve /metrics to anybody; returns the port.

        Raises UsageError where the address cannot be had or prometheus_client is missing.
        """
        check_available()
        return await self._start(MetricsHandler(asked), host, port)

    async def close(self) -> None:
        """Close all of them."""
        servers, self._servers = self._servers, []
        for server in servers:
            await server.drain(_DRAIN_SECONDS)

    async def _start(self, handler: Handler, host: str, port: int) -> int:
        server = Server()
        self._servers.append(server)
        await server.start(handler, host, port, limits=_LIMITS)
        there: int = server.sockets[0].getsockname()[1]
        return there
