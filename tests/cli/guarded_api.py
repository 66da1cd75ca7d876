"""An API behind a token, in a thread: single items, pages by offset and by cursor, and a vector search."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson

ROWS = 500
PAGE = 10
COUNT = 3000
"""Records that are sent to it one by one."""


class GuardedApi(ThreadingHTTPServer):
    """`good` are the tokens it takes; after `lasts` calls that were let pass it takes none. It counts by itself."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.good = {"token-good"}
        self.expiries: list[int] | None = None
        """After so many calls that were let pass, tokens `...-1`, then `...-2` and so on are good no more."""
        self.prefix = "token-"
        self.lasts: int | None = None
        self.denies_with = 401
        self.slow = 0.0
        self.lock = threading.Lock()
        self.passed: list[str] = []
        self.refused: list[str] = []

    @property
    def url(self) -> str:
        """Its root."""
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def calls(self) -> int:
        """Of whatever ending."""
        return len(self.passed) + len(self.refused)

    def lets_pass(self, token: str, what: str) -> bool:
        """Whether this call is answered."""
        with self.lock:
            fine = token in self.good if self.expiries is None else self._is_young(token, self.expiries)
            fine = fine and (self.lasts is None or len(self.passed) < self.lasts)
            (self.passed if fine else self.refused).append(what)
            return fine

    def _is_young(self, token: str, expiries: list[int]) -> bool:
        number = token.removeprefix(self.prefix)
        return number.isdigit() and int(number) > sum(len(self.passed) >= expiry for expiry in expiries)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: GuardedApi

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers.get("content-length", 0))))

    def do_GET(self) -> None:
        self._answer(b"")

    def _answer(self, body: bytes) -> None:
        time.sleep(self.server.slow)
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        given = self.headers.get("authorization", "").removeprefix("Bearer ") or query.get("key", "")
        given = given or (orjson.loads(body).get("key", "") if body else "")
        what = body.decode() if body else f"{query.get('offset', '')}{query.get('cursor', '')}"
        if not self.server.lets_pass(given, what):
            # As many APIs do, it says what it was given.
            self._send(self.server.denies_with, {"error": f"{given} is no good token"})
        elif parts.path == "/search":
            self._send(200, {"similarity": 1.0})
        elif parts.path == "/offset":
            start = int(query.get("offset", 0))
            self._send(200, {"items": _rows(start), "total": ROWS})
        elif parts.path == "/cursor":
            start = int(query.get("cursor", 0))
            self._send(200, {"items": _rows(start), "next": start + PAGE if start + PAGE < ROWS else None})
        else:
            self._send(200, {"ok": True})

    def _send(self, status: int, value: Any) -> None:
        data = orjson.dumps(value)
        head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
        with contextlib.suppress(ConnectionError):
            self.wfile.write(head.encode() + data)


def _rows(start: int) -> list[dict[str, int]]:
    return [{"id": number} for number in range(start, min(start + PAGE, ROWS))]


@contextlib.contextmanager
def guarded_api() -> Iterator[GuardedApi]:
    """One that runs for the block."""
    with GuardedApi() as api:
        thread = threading.Thread(target=api.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield api
        finally:
            api.shutdown()
            thread.join()
