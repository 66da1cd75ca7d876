"""The address of the metrics: for anybody, and for nothing else."""

from __future__ import annotations

from ...wire.server import ServerExchange
from .desk import Desk, OwnDesk
from .metrics import CONTENT_FIELDS
from .snapshot import Watched

_TEXT = [(b"content-type", b"text/plain; charset=utf-8"), (b"cache-control", b"no-store")]


class MetricsHandler:
    """A Handler for an address of its own that anybody may ask for /metrics, and for nothing else."""

    def __init__(self, watched: Watched | Desk) -> None:
        self._desk = OwnDesk(watched) if isinstance(watched, Watched) else watched

    def known(self, data: bytes) -> bytes | None:
        """None: no answer is known beforehand."""

    def begin(self, exchange: ServerExchange) -> None:
        """Answer with the metrics, 404 for other paths, or 405 for other methods."""
        head = exchange.head
        if head.target.partition(b"?")[0] != b"/metrics":
            exchange.respond(404, b"Not Found", _TEXT, b"There is only /metrics here.\n")
        elif head.method not in (b"GET", b"HEAD"):
            exchange.respond(405, b"Method Not Allowed", [*_TEXT, (b"allow", b"GET, HEAD")], b"")
        else:
            self._desk.metrics(lambda text, missing: _respond(exchange, text, missing))


def _respond(exchange: ServerExchange, text: bytes | None, missing: str) -> None:
    if text is None:
        exchange.respond(501, b"Not Implemented", _TEXT, missing.encode())
    else:
        exchange.respond(200, b"OK", CONTENT_FIELDS, text)
