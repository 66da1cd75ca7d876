"""Whether a file could be opened or made at a path, said without doing so."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from ..errors import UsageError
from ..wire.reasons import reason_of
from ..wire.unix_socket import check_no_other_file


def check_access_log(where: str) -> None:
    """Raise UsageError where lines could not be appended to the file `where`; "-" is standard output."""
    path = Path(where)
    if where == "-":
        return
    if path.is_dir():
        number: int | None = errno.EISDIR
    elif path.exists():
        number = None if os.access(path, os.W_OK) else errno.EACCES
    else:
        # Of a link whose file is not there yet, that file is made.
        number = _why_not_made(path.resolve())
    if number is not None:
        raise UsageError(f"--access-log {where} cannot be opened: {_words(number)}")


def check_socket_file(path: str) -> None:
    """Raise UsageError where no socket could be made at `path`. Whether somebody listens there is not looked at."""
    check_no_other_file(path)
    number = _why_not_made(Path(path))
    if number is not None:
        raise UsageError(f"cannot listen on unix:{path}: {_words(number)}")


def _why_not_made(path: Path) -> int | None:
    folder = path.parent
    if not folder.exists():
        return errno.ENOENT
    if not folder.is_dir():
        return errno.ENOTDIR
    return None if os.access(folder, os.W_OK | os.X_OK) else errno.EACCES


def _words(number: int) -> str:
    return reason_of(OSError(number, os.strerror(number)))
