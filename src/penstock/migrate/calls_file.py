"""What children of a test process serve: a line in a file for each request, which the parent reads.

`$PENSTOCK_ARM_CALLS` names the file. Nobody needs it but a test run by `pytest --penstock-arm`, whose children are
servers, for instance.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

VARIABLE = "PENSTOCK_ARM_CALLS"


def writer() -> Callable[[str, str], None] | None:
    """What writes a call of a route, and its arm, into the file; None where there is no such file."""
    path = os.environ.get(VARIABLE)
    if not path:
        return None

    def write(route: str, arm: str) -> None:
        try:
            # Opened each time: a few bytes that are appended at once stay whole, whoever else writes.
            with Path(path).open("ab", buffering=0) as file:
                file.write(json.dumps([route, arm]).encode() + b"\n")
        except OSError:
            return  # The run is over, and its file is gone.

    return write


class CallsFile:
    """The parent's side."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0

    def new(self) -> list[tuple[str, str]]:
        """Route and arm of what was served since the last time."""
        try:
            if self._path.stat().st_size <= self._read:
                return []
            with self._path.open("rb") as file:
                file.seek(self._read)
                data = file.read()
        except OSError:
            return []
        whole = data[: data.rfind(b"\n") + 1]
        self._read += len(whole)
        return [(route, arm) for route, arm in map(json.loads, whole.splitlines())]
