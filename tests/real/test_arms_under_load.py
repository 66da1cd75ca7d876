"""Arms in real workers: shares that change under load, clients that leave, a file that is damaged."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from benchmarks.move_load import DAMAGE, Load, write_share

from .serving import SRC, free_port, serving

pytestmark = [pytest.mark.service, pytest.mark.real]


@pytest.fixture
def app(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[int]:
    """The port of uvicorn, with so many workers."""
    pytest.importorskip("uvicorn", reason="uvicorn is not installed: make test-real does that")
    pytest.importorskip("fastapi", reason="fastapi is not installed: make test-real does that")
    port = free_port()
    options = ["--workers", str(getattr(request, "param", 1)), "--port", str(port), "--no-access-log", "--factory"]
    command = [sys.executable, "-m", "uvicorn", "tests.real.arms_app:loaded", *options]
    environment = {"PYTHONPATH": f"{SRC}:{SRC.parent}", "PENSTOCK_ARMS": str(tmp_path / "arms.json")}
    with serving(command, port, "/done", tmp_path / "uvicorn.log", environment):
        yield port


@pytest.mark.slow
@pytest.mark.parametrize("app", [2], indirect=True)
def test_shares_change_under_load_and_nothing_fails(app: int, tmp_path: Path) -> None:
    """The figure is made by `python -m benchmarks move_flips`: four workers, 40,000 requests, 20 flips."""
    state, damages = tmp_path / "arms.json", list(DAMAGE)
    write_share(state, 0.0)
    with Load(app, clients=8) as load:
        for number in range(len(damages)):
            damage = damages[number]
            wanted = "async" if number % 2 == 0 else "control"
            written = write_share(state, 1.0 if wanted == "async" else 0.0)
            time.sleep(0.7)
            DAMAGE[damage](state)
            time.sleep(0.4)
            assert load.asked(wanted) > written + 0.5, "it is served at all"
            other = "control" if wanted == "async" else "async"
            # By when they were sent, since what is under way ends in its arm, on a busy machine late.
            assert load.asked(other) - written < 0.5, f"flip {number}, and then {damage}"
    assert load.failed == []
    assert load.answers > 200
    assert len(load.workers) == 2


def ask(port: int, target: str) -> socket.socket:
    """A request that nobody waits for."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    connection.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    return connection


def answered(port: int, target: str) -> bytes:
    """The answer to one request, whole."""
    with closing(ask(port, target)) as connection:
        head = b""
        while b"\r\n\r\n" not in head or not head.partition(b"\r\n\r\n")[2]:
            head += connection.recv(4096)
        return head


def test_a_client_that_leaves_while_it_waits_gives_its_place_back(app: int, tmp_path: Path) -> None:
    write_share(tmp_path / "arms.json", 1.0, route="GET /narrow")
    assert b"narrow" in answered(app, "/narrow")
    with closing(ask(app, "/narrow?seconds=2")):
        time.sleep(0.3)
        waiting = ask(app, "/narrow")
        time.sleep(0.3)
        refused = answered(app, "/narrow")
        assert refused.startswith(b"HTTP/1.1 503")
        assert b"retry-after: 1" in refused
        waiting.close()
        time.sleep(0.3)
        began = time.monotonic()
        assert b"narrow" in answered(app, "/narrow"), "the place in the queue was free again"
        assert time.monotonic() - began > 0.3, "it has waited for it"
    assert b'"narrow":3' in answered(app, "/done"), "who left was never served"
