"""The few file operations that durability rests on, in one place, so that a test can play a power cut with them.

What is relied on: bytes are durable after `sync`; a rename is atomic and durable after the folder's sync; a failed
sync means that the data is lost (the kernel may have dropped the dirty pages), so nothing goes on after one.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from ..errors import StorageError


class AppendFile(Protocol):
    """A file that grows at its end."""

    def size(self) -> int:
        """Bytes in the file."""
        ...

    def append(self, data: bytes | bytearray) -> None:
        """Write all of `data` at the end."""
        ...

    def truncate(self, size: int) -> None:
        """Cut the file to `size` bytes."""
        ...

    def read(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`."""
        ...

    def sync(self) -> None:
        """Return when everything appended so far is durable."""
        ...

    def close(self) -> None:
        """Let the file go."""
        ...


class Storage(Protocol):
    """Where files are kept."""

    def open(self, path: Path) -> AppendFile:
        """Open for appending; created where it is not there. Its name is durable on return."""
        ...

    def write_new(self, path: Path, data: bytes) -> None:
        """Put `data` at `path`, whole or not at all, and durable."""
        ...

    def replace(self, source: Path, target: Path) -> None:
        """Rename, replacing `target`; durable on return."""
        ...

    def remove(self, path: Path) -> None:
        """Delete the file if it is there; durable on return. Raises OSError where that is not allowed."""
        ...


@contextlib.contextmanager
def _told(path: Path, doing: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{doing} {path}: {error.strerror or error}; what was committed is safe, "
            "and the same command goes on from there"
        ) from error


class _DiskFile:
    def __init__(self, path: Path) -> None:
        self._path = path
        with _told(path, "opening"):
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            self._size = os.fstat(self._fd).st_size

    def size(self) -> int:
        return self._size

    def append(self, data: bytes | bytearray) -> None:
        with _told(self._path, "writing to"):
            view = memoryview(data)
            while view:
                written = os.pwrite(self._fd, view, self._size)
                self._size += written
                view = view[written:]

    def truncate(self, size: int) -> None:
        with _told(self._path, "truncating"):
            os.ftruncate(self._fd, size)
            self._size = size

    def read(self, offset: int, length: int) -> bytes:
        with _told(self._path, "reading"):
            return os.pread(self._fd, length, offset)

    def sync(self) -> None:
        with _told(self._path, "syncing"):
            os.fdatasync(self._fd) if hasattr(os, "fdatasync") else os.fsync(self._fd)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class Disk:
    """The real thing."""

    def open(self, path: Path) -> AppendFile:
        """Open for appending, and make its name durable."""
        file = _DiskFile(path)
        # Also where it is not new: an earlier process may have made it, or renamed it into place, and been killed
        # before it could sync the folder. What is now written to it would go with its name in a power cut.
        self._sync_folder(path.parent)
        return file

    def write_new(self, path: Path, data: bytes) -> None:
        """Put `data` beside `path`, sync it, and rename it into place."""
        part = path.with_name(path.name + ".part")
        file = _DiskFile(part)
        try:
            file.truncate(0)
            file.append(data)
            file.sync()
        finally:
            file.close()
        self.replace(part, path)

    def replace(self, source: Path, target: Path) -> None:
        """Rename, and make the new name durable."""
        with _told(target, "replacing"):
            source.replace(target)
        self._sync_folder(target.parent)

    def remove(self, path: Path) -> None:
        """Remove the file, if it is there; durable on return."""
        path.unlink(missing_ok=True)
        self._sync_folder(path.parent)

    def _sync_folder(self, folder: Path) -> None:
        with _told(folder, "syncing"):
            fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)


DISK = Disk()
