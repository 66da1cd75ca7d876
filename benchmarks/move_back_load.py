"""200 requests a second whatever becomes of them, and what became of them: for `move_back`."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from .move_back_app import ROUTE

_PATIENCE = 15.0
_SRC = Path(__file__).parents[1] / "src"
SLOW = 0.5
"""Seconds; an answer of an arm that sleeps or holds the loop is later than this."""


@dataclass
class Answers:
    """Of one trial; moments are monotonic."""

    count: int = 0
    bad: list[float] = field(default_factory=list)
    last_bad: float = 0.0


async def _ask(port: int, user: int, answers: Answers) -> None:
    began = time.monotonic()
    status = b"0"
    try:
        async with asyncio.timeout(8.0):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            head = f"GET /quote HTTP/1.1\r\nhost: x\r\nx-user-id: {user}\r\nconnection: close\r\n\r\n"
            try:
                writer.write(head.encode())
                status = (await reader.read())[9:12]
            finally:
                # A worker whose loop is held answers nobody, and is killed in the end.
                writer.transport.abort()
    except (OSError, TimeoutError):
        pass
    now = time.monotonic()
    answers.count += 1
    if status != b"200" or now - began > SLOW:
        answers.bad.append(now)


async def _ask_on(port: int, rate: float, answers: Answers, ended: asyncio.Event) -> None:
    began, number = time.monotonic(), 0
    async with asyncio.TaskGroup() as group:
        while not ended.is_set():
            number += 1
            await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
            group.create_task(_ask(port, number % 1009, answers))


def free_port() -> int:
    """One that nobody listens on."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def served(folder: Path, workers: int) -> Iterator[int]:
    """The app under uvicorn; yields the port. All its processes are ended, also those that do not listen any more."""
    port = free_port()
    environment = {
        **os.environ,
        "PENSTOCK_ARMS": str(folder / "arms.json"),
        "BAD": str(folder / "bad"),
        "PYTHONPATH": f"{_SRC}{os.pathsep}{_SRC.parent}",
    }
    options = ["--port", str(port), "--workers", str(workers), "--no-access-log", "--log-level", "warning"]
    command = [sys.executable, "-m", "uvicorn", "benchmarks.move_back_app:app", *options]
    with (folder / "uvicorn.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
        try:
            _wait_for(port, process)
            yield port
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until and process.poll() is None:
        try:
            with closing(socket.create_connection(("127.0.0.1", port), timeout=1)):
                return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"uvicorn did not start (exit {process.poll()})")


@dataclass(frozen=True)
class Trial:
    """`seconds` from the first bad answer, or where there was none from when the arm turned bad, until share 0."""

    seconds: float | None
    since_bad: float | None
    reason: str
    requests: int


async def trial(folder: Path, kind: str, *, share: str, workers: int, rate: float = 200.0) -> Trial:
    """Serve, let `penstock move roll` write the share and end, let the arm turn bad after five seconds, and wait."""
    answers, ended = Answers(), asyncio.Event()
    with served(folder, workers) as port:
        load = asyncio.create_task(_ask_on(port, rate, answers, ended))
        await asyncio.sleep(2.0)
        await _roll(folder, share)
        await asyncio.sleep(5.0)
        if _route(folder)["back"] is not None:
            ended.set()
            await load
            return Trial(None, None, f"taken back while it was good: {_route(folder)['back']}", answers.count)
        answers.bad.clear()
        (folder / "bad").write_text(kind)
        turned = time.monotonic()
        back = await _until_back(folder, turned + _PATIENCE)
        ended.set()
        first_bad = next((moment for moment in answers.bad if moment > turned), None)
        await load
    if back is None:
        return Trial(None, None, "it was not taken back", answers.count)
    first = min(first_bad, back) if first_bad is not None else turned
    return Trial(back - first, back - turned, str(_route(folder)["back"]), answers.count)


async def _roll(folder: Path, share: str) -> None:
    command = [sys.executable, "-m", "penstock", "move", "roll", ROUTE, "async", share]
    environment = {**os.environ, "PENSTOCK_ARMS": str(folder / "arms.json"), "PYTHONPATH": str(_SRC)}
    process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=asyncio.subprocess.PIPE)
    await process.communicate()
    if process.returncode:
        raise RuntimeError(f"roll ended with {process.returncode}")


async def _until_back(folder: Path, until: float) -> float | None:
    while time.monotonic() < until:
        if _route(folder)["share"] == 0:
            return time.monotonic()
        await asyncio.sleep(0.01)
    return None


def _route(folder: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((folder / "arms.json").read_text())["routes"][ROUTE]
    return found
