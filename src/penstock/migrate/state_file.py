"""The state of all routes as a file: `$PENSTOCK_ARMS`, or `arms.json` in the folder of the process.

::

    arms.json            what `rules/moving/state` says, written whole
    arms.json.lock       empty; who changes the state holds an exclusive flock on it
    arms.json.workers/   the counts of the workers, see `worker_files`
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from ..errors import UsageError
from ..rules.moving.state import MOST_BYTES, ArmsState, RouteState, read_state, write_state
from .whole_file import alone, write_whole

VARIABLE = "PENSTOCK_ARMS"
USUAL = "arms.json"


def state_path() -> Path:
    """Where the state is looked for."""
    return Path(os.environ.get(VARIABLE) or USUAL).absolute()


def workers_folder(path: Path) -> Path:
    """Where the workers that read the state at `path` keep their counts."""
    return path.with_name(f"{path.name}.workers")


def load_state(path: Path) -> ArmsState:
    """The state there; the empty one where there is no file. Raises UsageError, which says what is wrong."""
    try:
        with opened(path) as (descriptor, _):
            data = first_bytes(descriptor)
    except FileNotFoundError:
        return ArmsState()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    try:
        return read_state(data)
    except UsageError as error:
        raise UsageError(f"{path} cannot be read: {error}") from error


def load_state_that_was(path: Path) -> ArmsState:
    """`load_state`, but UsageError, too, where the file is gone that `change_state` has once written."""
    state = load_state(path)
    if not state.routes and _lock_of(path).exists() and not path.exists():
        raise UsageError(
            f"{path} is gone (`penstock move roll ROUTE ARM 0%` writes it anew, and routes that are not in it then go "
            "to the control)"
        )
    return state


def _lock_of(path: Path) -> Path:
    return Path(os.path.realpath(path) + ".lock")


@contextlib.contextmanager
def opened(path: Path) -> Iterator[tuple[int, os.stat_result]]:
    """The file to be read, and how it looks. Raises OSError, also for what is no file."""
    # A named pipe would wait for who writes to it.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0))
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(0, "it is no file")
        yield descriptor, status
    finally:
        os.close(descriptor)


def first_bytes(descriptor: int) -> bytes:
    """One more than a state may have, if there are so many. Raises OSError."""
    found = b""
    while len(found) <= MOST_BYTES and (more := os.read(descriptor, MOST_BYTES + 1 - len(found))):
        found += more
    return found


def change_state(path: Path, change: Callable[[ArmsState], ArmsState], patience: float = 5.0) -> ArmsState:
    """Put what `change` makes of the state in its place, alone, with the next revision; nothing where it is the same.

    Returns the state that is there then. Raises UsageError where it cannot be read or written, or where another process
    has held the lock for longer than `patience` seconds.
    """
    target = Path(os.path.realpath(path))
    lock = _lock_of(path)
    try:
        with alone(lock, patience, like=target) as is_alone:
            if not is_alone:
                raise UsageError(f"{lock} has been held by another process for {patience:g} s; is one of them stopped?")
            found = load_state(path)
            wanted = change(found)
            if wanted == found:
                return found
            wanted = replace(wanted, revision=found.revision + 1)
            write_whole(path, write_state(wanted))
            return wanted
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror} ({error.filename or lock})") from error


def take_back(path: Path, route: str, judged: RouteState, reason: str, now: float, patience: float = 0.2) -> bool:
    """Write that the arm is taken back, if its stage is still the one that was judged; whether it was.

    `now` is in seconds since the epoch. Raises UsageError as `change_state`.
    """
    written = False

    def change(state: ArmsState) -> ArmsState:
        nonlocal written
        found = state.routes.get(route)
        written = found is not None and (found.arm, found.since, found.stage) == (
            judged.arm,
            judged.since,
            judged.stage,
        )
        return with_route(state, route, without_share(judged, reason, "back", now)) if written else state

    change_state(path, change, patience)
    return written


def with_route(state: ArmsState, route: str, wanted: RouteState) -> ArmsState:
    """The state, but for this route."""
    return replace(state, routes={**state.routes, route: wanted})


def without_share(route: RouteState, reason: str, by: str, now: float) -> RouteState:
    """The same arm with no requests, since `now` (seconds since the epoch)."""
    return replace(route, share=0.0, since=round(now, 3), by=by, back=reason)
