"""The server of one arm: started on cores of its own, waited for, seen with all its processes, and ended with them."""

from __future__ import annotations

import contextlib
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from ...clock import SYSTEM_CLOCK
from ...errors import UsageError
from . import guard
from .processes import cpu_seconds, descendants, listens

GRANIAN = "granian --interface asgi {app} --host 127.0.0.1 --port {port} --workers {workers}"
UVICORN = "uvicorn {app} --host 127.0.0.1 --port {port} --workers {workers} --no-access-log --log-level warning"
_START_SECONDS = 30.0
_LAST_LINES = 8


def find_program(template: str, path: str) -> str | None:
    """The file that the command would run: beside our own Python, or on `path`."""
    words = shlex.split(template)
    beside = str(Path(sys.executable).parent)
    return shutil.which(words[0], path=f"{beside}:{path}") if words else None


def check_template(template: str) -> None:
    """Raises UsageError for a server's command that names no app or no port."""
    try:
        words = shlex.split(template)
    except ValueError as error:
        raise UsageError(f"--server {template!r} cannot be read: {error}") from None
    if not words:
        raise UsageError("--server is empty")
    for name in ("{app}", "{port}"):
        if name not in template:
            raise UsageError(f"--server {template!r} has no {name}: two servers run at once, each at a port of its own")


class ArmServer:
    """The server of one arm. Raises UsageError where it does not start."""

    def __init__(
        self, command: Sequence[str], arm: str, port: int, cores: Sequence[int], environment: Mapping[str, str]
    ) -> None:
        self.arm, self.port = arm, port
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  # closed in __exit__
        where = ",".join(map(str, cores)) or "-"
        self._guard = subprocess.Popen(  # noqa: S603  # our own module
            [*guard.COMMAND, where, *command],
            stdin=subprocess.PIPE,
            stdout=self._said,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            start_new_session=True,
        )
        self._command = shlex.join(command)

    def wait_until_ready(self) -> None:
        """Raises UsageError where it ends, or does not listen within half a minute."""
        until = SYSTEM_CLOCK.now() + _START_SECONDS
        while not self._is_ready():
            code = self._guard.poll()
            if code is not None:
                raise UsageError(f"the server of {self.arm!r} did not start ({self._command}): {self.last_words()}")
            if SYSTEM_CLOCK.now() > until:
                raise UsageError(
                    f"the server of {self.arm!r} does not listen on port {self.port} after {_START_SECONDS:.0f} s "
                    f"({self._command}): {self.last_words()}"
                )
            threading.Event().wait(0.05)

    def pids(self) -> list[int]:
        """All of its processes."""
        return descendants(self._guard.pid)

    @property
    def guard_pid(self) -> int:
        """The process that ends the server with us."""
        return self._guard.pid

    def cpu(self) -> float:
        """CPU seconds of all of its processes by now."""
        return cpu_seconds(self.pids())

    def has_ended(self) -> bool:
        """Whether it is gone."""
        return self._guard.poll() is not None

    def last_words(self) -> str:
        """What it said last."""
        self._said.seek(0)
        lines = [line for line in self._said.read().decode(errors="replace").splitlines() if line.strip()]
        return " | ".join(lines[-_LAST_LINES:]) or "it said nothing"

    def let_go(self) -> None:
        """Tell its guard to end it, without waiting for that."""
        if self._guard.stdin is not None:
            with contextlib.suppress(OSError):
                self._guard.stdin.close()

    def _is_ready(self) -> bool:
        # Another server might have taken the port in between; its answers would be taken for those of the arm.
        if not listens(self.pids(), self.port):
            return False
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            return True
        return False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.let_go()
        self._guard.wait()
        self._said.close()


def free_port() -> int:
    """A port of this machine that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
