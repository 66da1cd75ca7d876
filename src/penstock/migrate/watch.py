"""The state of all routes as this process knows it: one thread looks at the file, everybody else reads an attribute."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from ..adapters.forks import tell_after_fork
from ..clock import SYSTEM_CLOCK, Clock
from ..errors import UsageError
from ..rules.moving.state import ArmsState, read_state
from .log import LOG
from .state_file import USUAL, first_bytes, opened, state_path

PERIOD = 0.1
"""Seconds between two looks at the file."""
_UNSETTLED = 0.2
"""Seconds in which a file that was written may be written again and look the same: times of files move in steps."""


class Watch:
    """What the state file said last. What cannot be read changes nothing, and is said once.

    `on_tick` holds what the thread calls each time, with the monotonic time.
    """

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self.state = ArmsState()
        self.problem: str | None = None
        """Why the file cannot be read; None where it can, or was never there."""
        self.confirmed = clock.now()
        """When the file last was what `state` is (monotonic)."""
        self.on_tick: list[Callable[[float], None]] = []
        self.path: Path | None = None
        self._clock = clock
        self._begin()

    def _begin(self) -> None:
        self.started = False
        """Whoever needs `state` sees to it that this is true."""
        self._lock = threading.Lock()
        self._starter = ThreadPoolExecutor(1, "penstock-move-start")
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._seen: _Look | None = None
        self._failed: set[Callable[[float], None]] = set()

    def after_fork(self) -> None:
        """The thread is not there any more; what it read last is."""
        self._begin()

    def start(self) -> None:
        """Read the file, and from now on whenever it changes. A second call does nothing."""
        with self._lock:
            if self.started:
                return
            self.path = _path()
            self.look()
            tell_after_fork(self)
            self._begin_thread()
            self.started = True

    def _begin_thread(self) -> None:
        thread = threading.Thread(target=self._run, args=(self._ended,), name="penstock-move", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            LOG.exception("no thread can be started, so this process sees no change of the state of arms")
        else:
            self._thread = thread

    async def start_aside(self) -> None:
        """The same for who is on an event loop, which must not wait for a disk."""
        try:
            # Not in the pool of the loop: it may be full of work that takes long.
            await asyncio.get_running_loop().run_in_executor(self._starter, self.start)
        except RuntimeError:
            # No thread can be had, or it has been started meanwhile.
            self.start()
        self._starter.shutdown(wait=False)

    def stop(self) -> None:
        """End the thread; what is known stays."""
        with self._lock:
            thread = self._thread
            self._ended.set()
        if thread is not None:
            thread.join()
        self._begin()

    def age(self) -> float:
        """Seconds since the file last was what `state` is."""
        return self._clock.now() - self.confirmed

    def _run(self, ended: threading.Event) -> None:
        while not ended.wait(PERIOD):
            self.tick()

    def tick(self) -> None:
        """One look, and what others hooked on. Never raises."""
        self.look()
        for hook in list(self.on_tick):
            try:
                hook(self._clock.now())
            except Exception:  # noqa: BLE001  # the thread has to go on
                if hook not in self._failed:
                    self._failed.add(hook)
                    LOG.exception("what is done beside the serving of arms failed; it is tried again")

    def look(self) -> None:
        """Read the file if it has changed. Never raises."""
        assert self.path is not None
        try:
            look, data = _read_if_new(self.path, self._seen)
        except FileNotFoundError:
            self._seen = None
            self._missing()
        except OSError as error:
            self._seen = None
            self._say(error.strerror or str(error))
        else:
            settled = self._clock.wall() - look.changed > _UNSETTLED
            self._seen = look if settled else None
            if data is not None:
                self._read(data)
            if self.problem is None:
                self.confirmed = self._clock.now()

    def _read(self, data: bytes) -> None:
        try:
            self.state = read_state(data)
        except UsageError as error:
            self._say(str(error))
            return
        except Exception as error:  # noqa: BLE001  # a document that nobody foresaw: the thread has to go on
            self._say(f"{type(error).__name__}: {error}")
            return
        if self.problem is not None:
            LOG.warning("the state of arms in %s can be read again", self.path)
        self.problem = None

    def _missing(self) -> None:
        if self.state.routes:
            self._say("it is gone")
        else:
            self.problem = None
            self.confirmed = self._clock.now()

    def _say(self, problem: str) -> None:
        if self.problem != problem:
            LOG.warning(
                "the state of arms in %s cannot be read (%s): every route keeps the share that it has. "
                "`penstock move status` shows which; mend the file, or remove it and let `penstock move roll` write it",
                self.path,
                problem,
            )
        self.problem = problem


def _path() -> Path:
    try:
        return state_path()
    except OSError:
        # The working directory is gone; so then is the file.
        return Path(USUAL)


class _Look(NamedTuple):
    """What changes when a file does."""

    inode: int
    device: int
    size: int
    modified: int
    created: int
    """Not when it came to be: when its inode changed."""

    @property
    def changed(self) -> float:
        """When it was written, in seconds since the epoch."""
        return self.modified / 1e9


def _read_if_new(path: Path, seen: _Look | None) -> tuple[_Look, bytes | None]:
    """How the file looks, and its first bytes where it looked otherwise before. Raises OSError."""
    if seen is not None and _look_of(path.stat()) == seen:
        return seen, None
    with opened(path) as (descriptor, status):
        return _look_of(status), first_bytes(descriptor)


def _look_of(status: os.stat_result) -> _Look:
    return _Look(status.st_ino, status.st_dev, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


WATCH = Watch()
"""That of this process."""
