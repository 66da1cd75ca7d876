"""Files of a fixed size, reserved on disk before the first byte is written."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

from ...errors import StorageError
from ...runs.storage import DISK


def make_file(path: Path, size: int) -> None:
    """Make the file under another name first, so that one with this name always has its full size.

    Raises StorageError, a full disk included; nothing is left behind then.
    """
    fresh = path.with_name(path.name + ".new")
    try:
        descriptor = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        try:
            _allocate(descriptor, size)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        DISK.replace(fresh, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            fresh.unlink()
        raise StorageError(f"{path}: cannot make room for {size} bytes: {reason(error)}") from error


def _allocate(descriptor: int, size: int) -> None:
    if size and hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(descriptor, 0, size)
        except OSError as error:
            # Some file systems cannot reserve; then a full disk shows up at a commit instead of here.
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
                raise
        else:
            return
    os.ftruncate(descriptor, size)


def sync(descriptor: int) -> None:
    """Wait until the contents of the file are on disk."""
    # macOS has no fdatasync.
    getattr(os, "fdatasync", os.fsync)(descriptor)


def reason(error: OSError) -> str:
    """What went wrong, for a person; of a full disk also what to do."""
    if error.errno == errno.ENOSPC:
        return "the disk is full; make room and give the same command again"
    return error.strerror or str(error)
