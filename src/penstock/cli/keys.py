"""Single keys of a terminal, without Enter, while a live view is on it."""

from __future__ import annotations

import asyncio
import os
import sys
import termios
import tty
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self


class Keys:
    """Calls `on_key` with each key that is pressed. A context manager, to be used within the loop.

    Ctrl-C goes on to interrupt. Nothing is read where standard input is no terminal, or that of another job.
    """

    def __init__(self, on_key: Callable[[str], None]) -> None:
        self._on_key = on_key
        self._fd = -1
        self._before: list[Any] = []
        self._loop = asyncio.get_running_loop()

    def __enter__(self) -> Self:
        if sys.stdin is not None and sys.stdin.isatty() and os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp():
            self._fd = sys.stdin.fileno()
            self._before = termios.tcgetattr(self._fd)
            tty.setcbreak(self._fd)
            self._loop.add_reader(self._fd, self._read)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            termios.tcsetattr(self._fd, termios.TCSADRAIN, self._before)

    def _read(self) -> None:
        try:
            data = os.read(self._fd, 64)
        except OSError:
            data = b""
        if not data:
            # The terminal has gone; what is left is to be interrupted.
            self._loop.remove_reader(self._fd)
        for key in data.decode("utf-8", "ignore"):
            self._on_key(key)
