"""Children that are pinned to a core, measured, bounded in time, and never left behind."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
_CORES = sorted(os.sched_getaffinity(0))
CLIENT_CORE, SERVER_CORE = _CORES[0], _CORES[-1]
PENSTOCK = [sys.executable, "-c", "from penstock.cli.main import main; main()"]


class MissingTool(RuntimeError):
    """A program or package that a comparison needs is not there; the message says how to get it."""


def need(program: str, package: str) -> str:
    """The path of `program`. Raises MissingTool."""
    path = shutil.which(program)
    if path is None:
        raise MissingTool(f"{program} is not there: apt-get install {package}")
    return path


@dataclass(frozen=True, slots=True)
class Ended:
    """What one child took. `cpu` is user + system seconds, `peak_rss` is VmHWM in bytes (0: too short to see)."""

    code: int
    seconds: float
    cpu: float
    peak_rss: int
    samples: list[tuple[float, int]] = field(repr=False)
    """(seconds since the start, resident bytes), ten a second at first, then about one a second."""
    stdout: str = field(repr=False)
    stderr: str = field(repr=False)

    def json(self) -> dict[str, Any]:
        """Standard output as JSON. Raises RuntimeError with what the child complained about."""
        try:
            value: dict[str, Any] = json.loads(self.stdout)
        except ValueError:
            raise RuntimeError(f"exit status {self.code}, no JSON: {self.stderr[-2000:]}") from None
        return value


class Child:
    """One child process in a session of its own; leaving the context kills the whole of it. `core` None: any."""

    def __init__(self, argv: Sequence[str | Path], *, core: int | None, folder: Path, name: str = "child") -> None:
        self._out, self._err = folder / f"{name}.stdout", folder / f"{name}.stderr"
        path = os.pathsep.join([str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH", "")])
        pin = [] if core is None else [need("taskset", "util-linux"), "-c", str(core)]
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.began = time.monotonic()
            self._popen = subprocess.Popen(
                [*pin, *map(str, argv)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=os.environ | {"PYTHONPATH": path.rstrip(os.pathsep)},
                cwd=folder,
                start_new_session=True,
            )
        self.pid = self._popen.pid
        self._peak = 0
        self._samples: list[tuple[float, int]] = []

    def poll(self) -> Ended | None:
        """What it took, once it has ended; takes a sample of its memory otherwise."""
        self._sample()
        pid, status, usage = os.wait4(self.pid, os.WNOHANG)
        if not pid:
            return None
        self._popen.returncode = os.waitstatus_to_exitcode(status)
        return Ended(
            self._popen.returncode,
            time.monotonic() - self.began,
            usage.ru_utime + usage.ru_stime,
            self._peak,
            self._samples,
            self._out.read_text(errors="replace"),
            self._err.read_text(errors="replace"),
        )

    def wait(self, timeout: float) -> Ended:
        """Wait until it ends. Raises TimeoutError, after killing it, when it takes longer than `timeout` seconds."""
        deadline = self.began + timeout
        while True:
            ended = self.poll()
            if ended is not None:
                return ended
            if time.monotonic() > deadline:
                self.kill()
                raise TimeoutError(
                    f"killed after {timeout:.0f} s: {self._popen.args!r}\n{self._err.read_text()[-2000:]}"
                )
            time.sleep(0.02)

    def kill(self) -> float:
        """SIGKILL to it and all its children; returns the moment on the monotonic clock."""
        now = time.monotonic()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        if self._popen.returncode is None:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self.pid, 0)
            self._popen.returncode = -signal.SIGKILL
        return now

    def end(self, timeout: float = 20.0) -> Ended:
        """SIGTERM, then wait."""
        os.kill(self.pid, signal.SIGTERM)
        return self.wait(time.monotonic() - self.began + timeout)

    def _sample(self) -> None:
        with contextlib.suppress(OSError):
            fields = dict(line.split(":", 1) for line in Path(f"/proc/{self.pid}/status").read_text().splitlines())
            if "VmHWM" not in fields or fields["Name"].strip() == "taskset":
                return
            self._peak = max(self._peak, int(fields["VmHWM"].split()[0]) * 1024)
            at = time.monotonic() - self.began
            if not self._samples or at - self._samples[-1][0] >= min(1.0, max(0.1, at / 20)):
                self._samples.append((round(at, 2), int(fields["VmRSS"].split()[0]) * 1024))

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._popen.returncode is None:
            self.kill()


def run(
    argv: Sequence[str | Path], *, folder: Path, timeout: float, core: int | None = CLIENT_CORE, name: str = "child"
) -> Ended:
    """Run one child to its end on `core`."""
    with Child(argv, core=core, folder=folder, name=name) as child:
        return child.wait(timeout)


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A temporary folder for files of any size; BENCH_TMP says where, if not in the usual place."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="penstock-bench-", dir=os.environ.get("BENCH_TMP")) as name:
        yield Path(name)


def raise_open_files() -> None:
    """Allow as many open files as we may: a thousand connections need more than the usual 1,024."""
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
