"""Servers of the sites in `move_sites/`, the state of their arms, and load while that changes."""

from __future__ import annotations

import http.client
import itertools
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from penstock.rules.moving.state import ArmsState, RouteState, write_state

from .serving import SRC, free_port, serving

SITES = Path(__file__).with_name("move_sites")
SEEN = 0.5
"""Seconds after a change of the state in which no worker knows of it yet; usually it is 0.1."""
SERVERS: dict[str, Sequence[str]] = {
    "uvicorn": ("uvicorn", "--no-access-log"),
    "granian": ("granian", "--interface", "asgi", "--log-level", "warning"),
    "gunicorn": ("gunicorn", "--graceful-timeout", "5"),
}


@dataclass(frozen=True)
class Reply:
    """What came back."""

    status: int
    fields: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body."""
        return orjson.loads(self.body)

    @property
    def arm(self) -> str:
        """Which arm says that it answered; the status where none does."""
        return str(self.json["arm"]) if self.body.startswith(b"{") else str(self.status)


@dataclass(frozen=True)
class Site:
    """A server of a site, and the file that says what its arms get."""

    port: int
    state: Path
    log: Path

    def ask(self, path: str, method: str = "GET", body: bytes | None = None, **fields: str) -> Reply:
        """One request, on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            named = {name.replace("_", "-"): value for name, value in fields.items()}
            connection.request(method, path, body, named)
            reply = connection.getresponse()
            return Reply(reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read())
        finally:
            connection.close()

    def give(self, route: str, arm: str, share: float = 1.0) -> None:
        """Write the state."""
        new = self.state.with_suffix(".new")
        new.write_bytes(write_state(ArmsState({route: RouteState(arm, share, since=time.time())})))
        new.replace(self.state)

    def gets(self, route: str, arm: str, share: float = 1.0) -> None:
        """Write it, and wait until it is known."""
        self.give(route, arm, share)
        time.sleep(SEEN)

    def counts(self, route: str, arm: str) -> dict[str, int]:
        """What of its counts is not 0 in the worker that answers, once nothing is under way there."""
        until = time.monotonic() + 5
        while True:
            found: dict[str, int] = self.ask("/tallies").json.get(f"{route} {arm}", {})
            if not found.get("in_flight") or time.monotonic() > until:
                return {name: value for name, value in found.items() if value}
            time.sleep(0.05)


@contextmanager
def site(name: str, server: str, folder: Path, *options: str, app: str = "application", **more: str) -> Iterator[Site]:
    """Run the site `name`; `more` goes into its environment."""
    port, state, log = free_port(), folder / "arms.json", folder / "server.log"
    module, *usual = SERVERS[server]
    bind = ("--bind", f"127.0.0.1:{port}") if server == "gunicorn" else ("--host", "127.0.0.1", "--port", str(port))
    command = [sys.executable, "-m", module, *usual, *bind, *options, f"{name}:{app}"]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join((str(SRC), str(SITES))),
        "PENSTOCK_ARMS": str(state),
        "PYTHONDONTWRITEBYTECODE": "1",
        **more,
    }
    with serving(command, port, "/plain", log, environment):
        yield Site(port, state, log)


@dataclass
class Load:
    """Clients that ask again and again."""

    site: Site
    path: str
    replies: list[tuple[float, float, Reply]] = field(default_factory=list)
    """(began, ended, what came); monotonic."""
    errors: list[Exception] = field(default_factory=list)

    def failed(self) -> list[Any]:
        """What should not have come."""
        return [*self.errors, *(reply for _, _, reply in self.replies if reply.status != 200)]

    def pids(self) -> set[int]:
        """The workers that answered."""
        return {reply.json["pid"] for _, _, reply in self.replies}


@contextmanager
def load(site: Site, path: str, clients: int = 4) -> Iterator[Load]:
    """Within the block `clients` ask for `path`."""
    made, ended = Load(site, path), threading.Event()

    def client() -> None:
        while not ended.is_set():
            began = time.monotonic()
            try:
                reply = site.ask(path)
            except (OSError, http.client.HTTPException) as error:
                made.errors.append(error)
            else:
                made.replies.append((began, time.monotonic(), reply))

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield made
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def at_once(site: Site, path: str, count: int, apart: float = 0.1) -> list[Reply]:
    """Ask `count` times while those before are still under way."""
    replies: dict[int, Reply] = {}

    def one(number: int) -> None:
        replies[number] = site.ask(path)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
        time.sleep(apart)
    for thread in threads:
        thread.join()
    return [replies[number] for number in range(count)]


@dataclass(frozen=True)
class Flips:
    """What load saw of an arm that came and went."""

    load: Load
    latest: float
    """Seconds after a change of the state in which the last request began that was answered by the arm of before."""


def flip(site: Site, route: str, path: str, arm: str, times: int = 6) -> Flips:
    """Give the route to `arm` and back under load, each for a while."""
    changes: list[tuple[float, str]] = []
    with load(site, path, clients=6) as asked:
        for number in range(times):
            time.sleep(0.6)
            now = (arm, "control")[number % 2]
            changes.append((time.monotonic(), now))
            site.give(route, now)
        time.sleep(0.6)
        changes.append((time.monotonic(), ""))
    latest = 0.0
    for (at, now), (until, _) in itertools.pairwise(changes):
        within = [(began - at, reply.arm) for began, ended, reply in asked.replies if at < began and ended < until]
        assert now in {each for _, each in within}, f"{now} never came"
        latest = max([latest, *(began for began, each in within if each != now)])
    return Flips(asked, latest)
