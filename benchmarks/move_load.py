"""Clients that ask one route all the time and note which arm answered when; and what can happen to a state file."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

ROUTE = "GET /arm"
_MOST_ON_ONE_CONNECTION = 100


def write_share(path: Path, share: float, route: str = ROUTE) -> float:
    """Write the state whole, as every writer is asked to, and tell when (monotonic)."""
    if path.is_dir():
        path.rmdir()
    new = path.with_suffix(".new")
    new.write_text(_document(share, route))
    new.replace(path)
    return time.monotonic()


def _document(share: float, route: str = ROUTE, version: int = 1) -> str:
    return json.dumps({"version": version, "routes": {route: {"arm": "async", "share": share, "since": 0.0}}})


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGE: dict[str, Callable[[Path], object]] = {
    "nothing": lambda path: None,
    "deleted": lambda path: path.unlink(),
    "truncated": lambda path: path.write_bytes(b""),
    "half": lambda path: path.write_text(path.read_text()[:40]),
    "newer": lambda path: path.write_text(_document(0.5, version=2)),
    "huge": lambda path: path.write_bytes(b"{" + b" " * 5_000_000),
    "a folder": _folder,
}
"""What can become of the file between two writings; every worker is to keep the last share through it."""


class Load:
    """Within it, so many clients ask `ROUTE` of the server at `port`, each as soon as it has its answer."""

    def __init__(self, port: int, clients: int) -> None:
        self._port = port
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._ask_on, daemon=True) for _ in range(clients)]
        self._lock = threading.Lock()
        self._latest: dict[str, float] = {}
        self._asked: dict[str, float] = {}
        self.answers = 0
        self.failed: list[str] = []
        self.workers: set[str] = set()

    def latest(self, arm: str) -> float:
        """When the last answer of `arm` was complete (monotonic), 0 if there was none."""
        return self._latest.get(arm, 0.0)

    def asked(self, arm: str) -> float:
        """When the request was sent that `arm` answered and that was sent last (monotonic), 0 if there was none."""
        return self._asked.get(arm, 0.0)

    def _ask_on(self) -> None:
        while not self._ended.is_set():
            # Now and then anew, so that all workers get their part.
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
            with contextlib.closing(connection):
                for _ in range(_MOST_ON_ONE_CONNECTION):
                    if self._ended.is_set():
                        return
                    try:
                        self._ask(connection)
                    except (OSError, http.client.HTTPException) as error:
                        self.failed.append(repr(error))
                        break

    def _ask(self, connection: http.client.HTTPConnection) -> None:
        sent = time.monotonic()
        connection.request("GET", "/arm")
        response = connection.getresponse()
        said = response.read().decode()
        now = time.monotonic()
        if response.status != 200:
            self.failed.append(f"{response.status} {said}")
            return
        arm, worker = said.split()
        with self._lock:
            self.answers += 1
            self._latest[arm] = max(now, self._latest.get(arm, 0.0))
            self._asked[arm] = max(sent, self._asked.get(arm, 0.0))
            self.workers.add(worker)

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()
