"""Unix sockets: their names as people write them, `unix:/run/app.sock`, and the file of one that listens."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from pathlib import Path

from ..errors import UsageError
from .reasons import reason_of

PREFIX = "unix:"
_LONGEST = 107
"""Bytes that Linux has for the name; others have three less at most."""
_BACKLOG = 2048


def socket_path(text: str) -> str:
    """The path in `unix:/run/app.sock` or `unix:///run/app.sock`. Raises UsageError for one that cannot be one."""
    path = text.removeprefix(PREFIX)
    path = path.removeprefix("//")
    if not path or "\0" in path:
        raise UsageError(f"{text!r} names no socket; write unix:/run/app.sock")
    if len(os.fsencode(path)) > _LONGEST:
        raise UsageError(f"{text!r}: the path of a Unix socket has {_LONGEST} bytes at most")
    return path


def is_same_socket(one: str, other: str) -> bool:
    """Whether both paths lead to one file, which need not be there."""
    return os.path.realpath(one) == os.path.realpath(other)


def open_unix_socket(path: str, mode: int | None = None) -> socket.socket:
    """A socket that listens at `path`, whose file has `mode`, or what the umask leaves.

    What is left of one on which nobody listens any more is removed. Raises UsageError where somebody does, where
    something else is there, and where the system refuses.
    """
    _remove_stale(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # Set while it is made: a file that is open to all for a moment is open.
    before = None if mode is None else os.umask(~mode & 0o777)
    try:
        sock.setblocking(False)
        sock.bind(path)
        sock.listen(_BACKLOG)
    except OSError as error:
        sock.close()
        raise UsageError(f"cannot listen on unix:{path}: {reason_of(error)}") from error
    finally:
        if before is not None:
            os.umask(before)
    return sock


def check_no_other_file(path: str) -> bool:
    """Whether there is a socket at `path`. Raises UsageError where there is something else."""
    try:
        mode = Path(path).lstat().st_mode
    except OSError:
        # Nothing there, or nothing that we may see: then binding says why.
        return False
    if not stat.S_ISSOCK(mode):
        raise UsageError(f"cannot listen on unix:{path}: there is something, and it is no socket")
    return True


def _remove_stale(path: str) -> None:
    if not check_no_other_file(path):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            with contextlib.suppress(OSError):
                Path(path).unlink()
            return
        except OSError as error:
            # As with one that has no room: it listens.
            if not isinstance(error, BlockingIOError):
                raise UsageError(f"cannot listen on unix:{path}: {reason_of(error)}") from error
    raise UsageError(f"cannot listen on unix:{path}: another process listens there")


class SocketFile:
    """The file of a listening socket, for who is to remove it in the end."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._identity = self._look()

    def remove(self) -> None:
        """Remove it, if it is still the one that it was."""
        if self._identity is not None and self._look() == self._identity:
            with contextlib.suppress(OSError):
                self._path.unlink()

    def _look(self) -> tuple[int, int] | None:
        try:
            found = self._path.lstat()
        except OSError:
            return None
        return found.st_dev, found.st_ino
