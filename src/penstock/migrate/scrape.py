"""The answer to Prometheus, within the app: `MoveMiddleware(app, metrics="/penstock/metrics")`."""

from __future__ import annotations

import asyncio

from ..errors import UsageError
from ..observe.exposition import CONTENT_TYPE, check_available
from .metrics import MoveCollector, metrics_text
from .serving import SERVING
from .under_way import Scope, Send


class Scrape:
    """Answers one path. Raises UsageError for what is no path, and where prometheus_client is missing."""

    def __init__(self, path: str) -> None:
        if not path.startswith("/"):
            raise UsageError(f"metrics={path!r} is no path; write one such as '/penstock/metrics'")
        check_available()
        self._path = path

    def is_asked(self, scope: Scope) -> bool:
        """Whether this request is for it."""
        return bool(scope["path"] == self._path)

    async def answer(self, scope: Scope, send: Send) -> None:
        """With the sum of all workers; 405 for other methods than GET and HEAD."""
        if scope["method"] not in ("GET", "HEAD"):
            await _respond(send, 405, b"", [(b"allow", b"GET, HEAD")])
            return
        # It reads files: not on the loop.
        text = await asyncio.get_running_loop().run_in_executor(None, lambda: metrics_text(SERVING.source()))
        await _respond(send, 200, text, [(b"content-type", CONTENT_TYPE), (b"cache-control", b"no-store")])


def collector() -> MoveCollector:
    """For a registry of prometheus_client that the app has: `REGISTRY.register(collector())`."""
    return MoveCollector(SERVING.source)


async def _respond(send: Send, status: int, body: bytes, fields: list[tuple[bytes, bytes]]) -> None:
    headers = [(b"content-length", b"%d" % len(body)), *fields]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
