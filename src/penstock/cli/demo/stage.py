"""What every part of the demo needs: a server in a process, a command that is killed half-way, a verdict."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import orjson

from ...clock import SYSTEM_CLOCK
from ...errors import UsageError
from ..terminal import echo

_START_SECONDS = 30.0
PENSTOCK = (sys.executable, "-c", "from penstock.cli.main import main; main()")
"""The command line of this very environment, before its arguments."""

GUARD = "0.1s"
"""How much later than they were sent calls may arrive. The demo's machine may be busy with something else, and its
servers share it; a hundred milliseconds cost a tenth of the rate."""

_BUSY = (
    "The server saw sends later, and closer together, than they were made: it shares this machine, which was busy. "
    "With a longer --guard the command would have kept more of a distance; this is no mistake in what it did."
)


@dataclass(frozen=True, slots=True)
class Check:
    """What should hold, what was found, and whether it holds. `of_time`: whether a busy machine can be the reason."""

    claim: str
    found: str
    fine: bool
    of_time: bool = False


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
    # Not folded: it is there to be copied.
    click.echo(f"The command, which you could have typed:\n\n  {shlex.join(['penstock', *command])}\n", err=True)
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
    for each in checks:
        tell(f"  {'ok  ' if each.fine else 'NOT:'}  {each.claim}{f' ({each.found})' if each.found else ''}")
    if any(each.of_time and not each.fine for each in checks):
        tell(f"\n{_BUSY}")
    return all(each.fine for each in checks)


def limit_checks(arrivals: Sequence[float], allowed: int, refused: int) -> list[Check]:
    """Whether a limit a second was kept, by what the server saw."""
    from ...testing import most_in_any_window

    most = most_in_any_window(arrivals, 1.0)
    return [
        Check(
            f"no more than {allowed:,} arrivals in any second, the kill included", f"{most:,}", most <= allowed, True
        ),
        Check("nothing refused for being over the limit", f"{refused:,} were", not refused, True),
    ]


def clear(path: Path, remove: Callable[[Path], None] = Path.unlink) -> None:
    """Remove a file, or a folder with the files in it."""
    if path.is_dir():
        for each in path.iterdir():
            remove(each)
        path.rmdir()
    elif path.exists():
        remove(path)


def free_ports(count: int) -> list[int]:
    """Ports of loopback that were free a moment ago, all different."""
    with contextlib.ExitStack() as stack:
        sockets: Sequence[socket.socket] = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]


async def listening(port: int) -> None:
    """Wait until a server takes connections. Raises UsageError where none does."""
    until = SYSTEM_CLOCK.now() + _START_SECONDS
    while SYSTEM_CLOCK.now() < until:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await SYSTEM_CLOCK.sleep(0.02)
        else:
            writer.close()
            return
    raise UsageError("the demo's server did not start")


def tell(text: str) -> None:
    """To whoever watches."""
    echo(text)


def _start(command: Sequence[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen([*PENSTOCK, *command])  # noqa: S603  # our own command


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
