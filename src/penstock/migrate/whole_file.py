"""Small files that are written whole: who reads one sees what was there before or what is there now."""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from collections.abc import Iterator
from pathlib import Path

from ..clock import SYSTEM_CLOCK, Clock

_POLL = 0.01


def write_whole(path: Path, data: bytes) -> None:
    """Put `data` in the place of what is there, durable on return; mode and owner stay as they are. Raises OSError.

    A link is followed: what it points to is written, and the link stays. Who writes holds a lock: the part that is
    being written has one name, so that a kill leaves no more than one of them.
    """
    target = Path(os.path.realpath(path))
    part = target.with_name(f".{target.name}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            _make_alike(descriptor, target)
            _write_all(descriptor, data)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    _sync_folder(target.parent)


def _write_all(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


def _make_alike(descriptor: int, target: Path, bits: int = 0o777, least: int = 0) -> None:
    """Owner and mode of what is there, so that workers of another user can use it; the mode within `bits`."""
    try:
        found = target.stat()
    except FileNotFoundError:
        return
    # Only root can give a file away; others can give it to a group of theirs, which the owner before may be in.
    for owner in (found.st_uid, -1):
        try:
            os.fchown(descriptor, owner, found.st_gid)
        except PermissionError:
            continue
        break
    with contextlib.suppress(PermissionError):
        os.fchmod(descriptor, least | found.st_mode & bits)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def alone(lock: Path, patience: float, clock: Clock = SYSTEM_CLOCK, like: Path | None = None) -> Iterator[bool]:
    """Whether nobody else holds `lock` and none takes it until the end; given up after `patience` seconds.

    The file is made where it is not there, and stays. The kernel lets go of it when its holder dies. Who may write to
    `like` may take it: one that root has made would else keep all others out. Raises OSError.
    """
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        if like is not None:
            _make_alike(descriptor, like, 0o660, 0o600)
        yield _taken(descriptor, clock.now() + patience, clock)
    finally:
        os.close(descriptor)


def _taken(descriptor: int, until: float, clock: Clock) -> bool:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if clock.now() >= until:
                return False
            threading.Event().wait(_POLL)
        else:
            return True
