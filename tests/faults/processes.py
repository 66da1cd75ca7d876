"""Real processes for the fault tests: the fault server, and `penstock send` against it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SRC = Path(__file__).parents[2] / "src"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(SRC), "PYTHONDONTWRITEBYTECODE": "1"}
PENSTOCK = [sys.executable, "-c", "from penstock.cli.main import main; main()"]
PATIENCE = 60.0
"""Seconds after which a test gives up on a process."""


@dataclass
class Server:
    """A fault server in a process of its own."""

    url: str
    arrivals: Path
    stats_path: Path
    process: subprocess.Popen[bytes]

    def statistics(self) -> dict[str, Any]:
        """Its counters now."""
        with urllib.request.urlopen(f"{self.url}/stats", timeout=10) as answer:
            found: dict[str, Any] = json.loads(answer.read())
        return found

    def end(self) -> dict[str, Any]:
        """End it in order; its counters at the end."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(PATIENCE)
        final: dict[str, Any] = json.loads(self.stats_path.read_bytes())
        return final


@contextlib.contextmanager
def fault_server(folder: Path, *options: str) -> Iterator[Server]:
    """Start a server with these options, its files in `folder`; it is killed at the end of the block."""
    port_file, arrivals, stats = folder / "port", folder / "arrivals", folder / "stats.json"
    files = ["--port-file", str(port_file), "--arrivals", str(arrivals), "--stats-out", str(stats)]
    command = [sys.executable, "-m", "penstock.testing.fault_server", *files, *options]
    process = subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: port_file.exists() or process.poll() is not None)
        yield Server(f"http://127.0.0.1:{port_file.read_text().strip()}", arrivals, stats, process)
    finally:
        process.kill()
        process.wait(PATIENCE)


def wait_until(condition: Callable[[], Any]) -> None:
    """Poll until `condition` holds; AssertionError when patience ends."""
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.01)


def write_items(path: Path, count: int) -> Path:
    """A JSONL file of `count` different records."""
    path.write_text("".join(f'{{"n": {number}}}\n' for number in range(count)))
    return path


def start_send(arguments: Sequence[object], **options: Any) -> subprocess.Popen[bytes]:
    """`penstock send` with these arguments, under way."""
    command = [*PENSTOCK, "send", *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, **{"env": ENVIRONMENT, **pipes, **options})


@dataclass(frozen=True)
class Ended:
    """How a process ended."""

    code: int
    output: str
    errors: str

    @property
    def summary(self) -> dict[str, Any]:
        """What `--json` printed."""
        found: dict[str, Any] = json.loads(self.output)
        return found


def finish(process: subprocess.Popen[bytes]) -> Ended:
    """Wait for the end of `process`."""
    try:
        output, errors = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    return Ended(process.returncode, output.decode(), errors.decode())


def run_send(*arguments: object, **options: Any) -> Ended:
    """`penstock send` from its start to its end."""
    return finish(start_send(arguments, **options))


def records(out: Path) -> list[dict[str, Any]]:
    """The records in an output."""
    return [json.loads(line) for line in out.read_bytes().splitlines()]
