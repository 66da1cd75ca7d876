"""The access log: one line of JSON for each answer, written in batches so that no request waits for the disk."""

from __future__ import annotations

import asyncio
import io
import logging
from pathlib import Path
from typing import TextIO

import orjson

from ...clock import Clock
from ...errors import OutputError
from ...wire.server import ServerExchange

_log = logging.getLogger(__name__)

_FLUSH_SECONDS = 0.5
_FLUSH_LINES = 1000


class AccessLog:
    """Writes to `path`, or to an open `stream`. Queries are left out: they often carry secrets.

    Raises OutputError where the file cannot be opened. A disk that fails later costs lines (at most
    `lost`), never answers; it is said when that begins, and when it is over.
    """

    def __init__(self, clock: Clock, path: Path | None = None, stream: TextIO | None = None) -> None:
        self._clock = clock
        self._path = path
        self._stream = stream
        self._lines: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None
        self._file: io.FileIO | None = None
        self._torn = False
        """The file may end in the middle of a line."""
        self._failing = False
        self.lost = 0
        self.reopen()

    def answered(self, exchange: ServerExchange | None, status: int, size: int) -> None:
        """Called by the server for each answer; `exchange` is None for a request that was refused."""
        line: dict[str, object] = {"time": round(self._clock.wall(), 3), "status": status, "bytes": size}
        if exchange is not None:
            head = exchange.head
            line |= {
                "client": exchange.client,
                "method": head.method.decode("latin-1"),
                "host": head.host.decode("latin-1"),
                "path": head.target.partition(b"?")[0].decode("latin-1"),
            }
        self._lines.append(orjson.dumps(line))
        if len(self._lines) >= _FLUSH_LINES:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_FLUSH_SECONDS, self.flush)

    def flush(self) -> None:
        """Write what waits."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        lines, self._lines = self._lines, []
        if not lines:
            return
        data = b"\n".join(lines) + b"\n"
        try:
            if self._file is not None:
                self._append(self._file, data)
            elif self._stream is not None:
                self._stream.write(data.decode())
                self._stream.flush()
        except OSError as error:
            self._lose(len(lines), error)
        else:
            self._recover()

    def _append(self, file: io.FileIO, data: bytes) -> None:
        # Not cut off again: another process may write to the same file, in a graceful restart.
        rest = memoryview(b"\n" + data if self._torn else data)
        while rest:
            written = file.write(rest) or 0
            self._torn = rest[written - 1] != ord("\n") if written else self._torn
            rest = rest[written:]

    def _lose(self, lines: int, error: OSError) -> None:
        self.lost += lines
        if not self._failing:
            self._failing = True
            _log.warning("the access log loses lines: %s; requests are answered all the same", error.strerror or error)

    def _recover(self) -> None:
        if self._failing:
            self._failing = False
            _log.warning("the access log is written again; at most %d lines were lost since the start", self.lost)

    def reopen(self) -> None:
        """Open the file anew: after it was moved away (log rotation)."""
        if self._file is not None:
            self._file.close()
            self._file = None
        if self._path is not None:
            try:
                self._file = io.FileIO(self._path, "a")
            except OSError as error:
                raise OutputError(f"the access log {self._path} cannot be opened: {error.strerror}") from None

    def close(self) -> None:
        """Write what waits, and close the file."""
        self.flush()
        if self._file is not None:
            self._file.close()
            self._file = None
