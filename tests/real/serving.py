"""Servers that nobody here wrote: where they are installed, how they are started, and `penstock pull` from them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

PATIENCE = 60.0
"""Seconds after which a server should have started."""
SRC = Path(__file__).parents[2] / "src"


def cache(name: str) -> Path:
    """The folder for what a test installs, kept for the next run."""
    root = Path(os.environ.get("PENSTOCK_TEST_CACHE", Path.home() / ".cache" / "penstock-tests"))
    return root / name


@contextmanager
def serving(
    command: Sequence[str | Path],
    port: int,
    ready: str,
    log: Path,
    environment: Mapping[str, str] | None = None,
) -> Iterator[str]:
    """Run `command`, which listens at `port`, in the folder of `log` until the end of the block; yields the root URL.

    Raises RuntimeError with the end of its log when the path `ready` does not answer.
    """
    root = f"http://127.0.0.1:{port}"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [*map(str, command)], stdout=file, stderr=subprocess.STDOUT, cwd=log.parent, env=environment
        )
        try:
            if not _answers(root + ready, process):
                raise RuntimeError(f"it did not start (exit {process.poll()}): {log.read_text()[-2000:]}")
            yield root
        finally:
            process.terminate()
            process.wait(timeout=30)


def _answers(url: str, process: subprocess.Popen[bytes]) -> bool:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return True
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    return False


def free_port() -> int:
    """A port on loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@dataclass(frozen=True)
class Pulled:
    """What one `penstock pull` came to."""

    code: int
    summary: dict[str, Any]
    errors: str
    out: Path

    @property
    def rows(self) -> list[Any]:
        """The rows of a JSONL output, as they stand there."""
        return [orjson.loads(line) for line in self.out.read_bytes().splitlines()]


def pull(url: str, out: Path, *options: str) -> Pulled:
    """`penstock pull` in a process, to its end."""
    command = [sys.executable, "-c", "from penstock.cli.main import main; main()", "pull", url, "--out", str(out)]
    environment = os.environ | {"PYTHONPATH": str(SRC)}
    done = subprocess.run(
        [*command, "--json", *options], capture_output=True, timeout=300, check=False, env=environment
    )
    errors = done.stderr.decode()
    assert done.returncode in (0, 1), errors
    return Pulled(done.returncode, orjson.loads(done.stdout), errors, out)
