"""What every part of the demo needs: a server in a process, a command that is killed half-way, a verdict."""

from __future__ import annotations

import contextlib
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import click
import orjson

from ...clock import SYSTEM_CLOCK
from ...errors import UsageError

_START_SECONDS = 30.0

Check = tuple[str, bool]
"""(what is claimed, whether it is so)."""


@contextlib.contextmanager
def server(module: str, *options: str) -> Iterator[str]:
    """A server of `penstock.testing` as a process; yields its address. It ends in order at the end of the block."""
    with tempfile.TemporaryDirectory() as folder:
        port_file = Path(folder) / "port"
        command = [sys.executable, "-m", f"penstock.testing.{module}", "--port-file", str(port_file), *options]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)  # noqa: S603  # our own module
        try:
            yield f"http://127.0.0.1:{_wait_for_port(process, port_file)}"
        finally:
            process.terminate()
            process.wait()


def run_killed_half_way(command: Sequence[str], series: Path, half: int) -> int:
    """Carry out `penstock COMMAND` twice, first with a kill -9 at `half` items; the exit code of the second time."""
    tell(f"The command, which you could have typed:\n\n  {shlex.join(['penstock', *command])}\n")
    process = _start(command)
    done = 0
    try:
        while process.poll() is None and done < half:
            _pause(0.2)
            done = _items_so_far(series)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    tell(f"\nKilled with kill -9 at {done:,} of {2 * half:,}. The same command again:\n")
    return _start(command).wait()


def write_report(out: Path) -> Path:
    """`penstock report OUT`; returns the page."""
    page = out.with_name(out.name + ".report.html")
    _start(["report", str(out), "--html", str(page), "--quiet"]).wait()
    return page


def judge(checks: Sequence[Check], *, evidence: str) -> bool:
    """Say what holds and what does not; whether all does."""
    tell(f"\nJudged by {evidence}:\n")
    for text, fine in checks:
        tell(f"  {'ok ' if fine else 'NOT'}  {text}")
    return all(fine for _, fine in checks)


def clear(path: Path, remove: Callable[[Path], None] = Path.unlink) -> None:
    """Remove a file, or a folder with the files in it."""
    if path.is_dir():
        for each in path.iterdir():
            remove(each)
        path.rmdir()
    elif path.exists():
        remove(path)


def tell(text: str) -> None:
    """To whoever watches."""
    click.echo(text, err=True)


def _start(command: Sequence[str]) -> subprocess.Popen[bytes]:
    start = [sys.executable, "-c", "from penstock.cli.main import main; main()"]
    return subprocess.Popen([*start, *command])  # noqa: S603  # our own command


def _wait_for_port(process: subprocess.Popen[bytes], port_file: Path) -> int:
    until = SYSTEM_CLOCK.now() + _START_SECONDS
    while SYSTEM_CLOCK.now() < until and process.poll() is None:
        if port_file.exists() and (text := port_file.read_text().strip()):
            return int(text)
        _pause(0.05)
    raise UsageError("the demo's server did not start")


def _items_so_far(series: Path) -> int:
    if not series.exists():
        return 0
    lines = series.read_bytes().splitlines()
    try:
        return int(orjson.loads(lines[-1])["items"]) if lines else 0
    except orjson.JSONDecodeError:
        return 0


def _pause(seconds: float) -> None:
    import time

    time.sleep(seconds)
