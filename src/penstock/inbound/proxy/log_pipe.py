"""A log that somebody reads: a pipe, a terminal or a socket. Who reads slowly, or not at all, makes nobody wait."""

from __future__ import annotations

import asyncio
import errno
import os
import select
import stat
from collections.abc import Callable

_MOST_WAITING = 4 << 20
_PIECE = 4096
"""Where a pipe says that it takes something, it takes so much without waiting (PIPE_BUF of Linux)."""
_PIECES = 16


def is_read_by_somebody(fd: int) -> bool:
    """Whether `fd` can be full because nobody reads: files and devices such as /dev/null take everything at once."""
    mode = os.fstat(fd).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(fd)


class LogPipe:
    """Writes to `fd` what its reader takes; the rest waits here, at most `most_waiting` bytes.

    `fd` is not made non-blocking, since others may have it too. Other processes may write to the same pipe: what is
    written at once are whole lines, as far as they have at most `_PIECE` bytes. Use it within a running loop, of whose
    seconds `now` tells. `on_lost` is told how many lines were given up that had been taken, and why.
    """

    def __init__(
        self,
        fd: int,
        now: Callable[[], float],
        on_lost: Callable[[int, OSError], None],
        *,
        most_waiting: int = _MOST_WAITING,
    ) -> None:
        self._fd = fd
        self._own = _opened_again(fd)
        self._now = now
        self._on_lost = on_lost
        self._most = most_waiting
        self._waiting = bytearray()
        self._full = False
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)
        self._loop: asyncio.AbstractEventLoop | None = None
        """Set while it is told when more is taken."""

    def is_standard_error(self) -> bool:
        """Whether standard error has the same reader."""
        return os.path.samestat(os.fstat(self._fd), os.fstat(2))

    def write(self, data: bytes) -> None:
        """Take whole lines. Raises OSError where they cannot be written, or too many wait already."""
        self._full = self._full and len(self._waiting) > self._most // 2
        if self._full or len(self._waiting) + len(data) > self._most:
            # Till half of it is read: not to say each moment that it is over, and then again.
            self._full = True
            raise BlockingIOError(errno.EAGAIN, "who reads it does not keep up")
        self._waiting += data
        if self._loop is None:
            self._write_on(0.0)
            if self._waiting:
                self._loop = asyncio.get_running_loop()
                self._loop.add_writer(self._fd, self._go_on)

    def _go_on(self) -> None:
        try:
            self._write_on(0.0)
        except OSError as error:
            self._on_lost(self._give_up(), error)
        if not self._waiting:
            self._stop()

    def _write_on(self, seconds: float, most: int = _PIECES) -> None:
        """Write what is taken now, or within `seconds`."""
        now = self._now
        until = now() + seconds
        for _ in range(most):
            if not self._waiting or not self._poll.poll(max(0.0, until - now()) * 1000):
                return
            try:
                written = os.write(self._fd if self._own is None else self._own, self._piece())
            except BlockingIOError:
                # Another process took the room in between, or has made it non-blocking.
                return
            del self._waiting[:written]

    def _piece(self) -> bytearray:
        """What to write next: all of it arrives together."""
        end = self._waiting.rfind(b"\n", 0, _PIECE) + 1
        return self._waiting[: end or _PIECE]

    def _give_up(self) -> int:
        lines = self._waiting.count(b"\n")
        self._waiting.clear()
        return lines

    def _stop(self) -> None:
        if self._loop is not None:
            self._loop.remove_writer(self._fd)
            self._loop = None

    def close(self, seconds: float) -> None:
        """Write what waits, as far as it is taken within `seconds`; `fd` stays open."""
        self._stop()
        try:
            self._write_on(seconds, most=self._most)
        except OSError as error:
            self._on_lost(self._give_up(), error)
        if self._waiting:
            self._on_lost(self._give_up(), BlockingIOError(errno.EAGAIN, "who reads it does not keep up"))
        if self._own is not None:
            os.close(self._own)
            self._own = None


def _opened_again(fd: int) -> int | None:
    """The pipe `fd`, so that a write never waits: flags are of one opening. None where the system does not let us."""
    if not stat.S_ISFIFO(os.fstat(fd).st_mode):
        return None
    try:
        return os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return None
