"""A process that holds a server: it ends the server, and all that the server started, once nobody holds its own input.

Whoever measures may be killed at any moment; the end of a pipe is all that is sure to be left of it then.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

from .processes import descendants

COMMAND = (sys.executable, "-P", "-m", "penstock.migrate.bench.guard")
"""What starts one; behind it the cores (`0,1`, or `-` for any) and the command."""
_TICK = 0.1
_GRACE = 3.0
_LOOKS = 100
_PR_SET_CHILD_SUBREAPER = 36
"""Of `prctl(2)`."""


def main(arguments: list[str]) -> int:
    """Run the command until it ends or standard input does."""
    cores, *command = arguments
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)
    if cores != "-":
        os.sched_setaffinity(0, {int(each) for each in cores.split(",")})
    _adopt_orphans()
    # As servers find an app: in the folder of the command. Not for ourselves, whom a file there might mislead.
    found_in = os.pathsep.join(filter(None, (str(Path.cwd()), os.environ.get("PYTHONPATH"))))
    environment = os.environ | {"PYTHONPATH": found_in}
    server = subprocess.Popen(  # noqa: S603  # what the user wants to have served
        command, stdin=subprocess.DEVNULL, start_new_session=True, env=environment
    )
    try:
        while server.poll() is None and not _input_has_ended():
            pass
    finally:
        end(server)
    return server.returncode


def end(server: subprocess.Popen[bytes]) -> None:
    """SIGTERM to the server, and after three seconds SIGKILL to all that is left of it and of what it started."""
    for number in (signal.SIGTERM, signal.SIGINT):
        # Who is asked to end a second time has to end the server all the same.
        signal.signal(number, signal.SIG_IGN)
    _signal_group(server.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        server.wait(_GRACE)
    _signal_group(server.pid, signal.SIGKILL)
    server.wait()
    _end_orphans()


def _end_orphans() -> None:
    """What dies leaves us the processes that it started: look again. One that may not be killed stays."""
    for _ in range(_LOOKS):
        below = descendants(os.getpid())
        for pid in below:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if not below:
            return
        select.select([], [], [], _TICK / 10)


def _input_has_ended() -> bool:
    readable, _, _ = select.select([0], [], [], _TICK)
    return bool(readable) and not os.read(0, 4096)


def _signal_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _adopt_orphans() -> None:
    """What a server starts and leaves behind, a daemon for instance, becomes a child of ours, not of init."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _leave(_number: int, _frame: object) -> None:
    raise SystemExit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
