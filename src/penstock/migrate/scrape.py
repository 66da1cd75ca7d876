"""The answer to Prometheus, within the app: `MoveMiddleware(app, metrics="/penstock/metrics")`."""

from __future__ import annotations

import asyncio

from ..errors import UsageError
from ..observe.exposition import CONTENT_TYPE, check_available
from .metrics import MoveCollector, metrics_text
from .plain_answer import PlainAnswer
from .serving import SERVING


class Scrape:
    """Answers one path. Raises UsageError for what is no path, and where prometheus_client is missing."""

    def __init__(self, path: str) -> None:
        if not path.startswith("/"):
            raise UsageError(f"metrics={path!r} is no path; write one such as '/penstock/metrics'")
        check_available()
        self._path = path

    def is_at(self, path: str) -> bool:
        """Whether a request for `path` is for it."""
        return path == self._path

    def answer(self, method: str) -> PlainAnswer:
        """With the sum of all workers; 405 for other methods than GET and HEAD."""
        if method not in ("GET", "HEAD"):
            return PlainAnswer(405, "Method Not Allowed", {"content-length": "0", "allow": "GET, HEAD"}, b"")
        text = metrics_text(SERVING.source())
        fields = {
            "content-length": str(len(text)),
            "content-type": CONTENT_TYPE.decode(),
            "cache-control": "no-store",
        }
        return PlainAnswer(200, "OK", fields, text if method == "GET" else b"")

    async def answer_aside(self, method: str) -> PlainAnswer:
        """The same for who is on an event loop: it reads files."""
        return await asyncio.get_running_loop().run_in_executor(None, self.answer, method)


def collector() -> MoveCollector:
    """For a registry of prometheus_client that the app has: `REGISTRY.register(collector())`."""
    return MoveCollector(SERVING.source)
