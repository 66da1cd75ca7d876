"""The access log: one line for each answer, written in batches so that no request waits for the disk.

What is in a line, and how it looks, is in `access_line`.
"""

from __future__ import annotations

import asyncio
import io
import logging
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ...clock import Clock
from ...errors import (
    AttemptTimeout,
    ConnectError,
    ConnectionLost,
    ConnectTimeout,
    DnsError,
    OutputError,
    ProtocolError,
    TlsError,
)
from ...rules.caching.cache_status import HIT, Told, read_cache_status
from ...wire.server import ServerExchange
from ..cache.protocols import InboundRequest
from .access_line import JSON, Entry, LineFormat, LoggedRequest
from .log_pipe import LogPipe, is_read_by_somebody
from .request_ids import is_sane

_log = logging.getLogger(__name__)

_FLUSH_SECONDS = 0.5
_FLUSH_LINES = 1000
_LAST_SECONDS = 1.0
"""For which a reader is waited for at the end."""


_CLIENT_GONE = 499
"""The status of an answer that was never begun, because its client had gone; nginx writes the same."""


_OF_OURS = frozenset(
    each.kind
    for each in (AttemptTimeout, ConnectError, ConnectionLost, ConnectTimeout, DnsError, ProtocolError, TlsError)
)
"""Why an answer is one of ours in place of the app's."""


@dataclass(slots=True)
class Visit:
    """What is to be known of a request when its answer is over: the context of its exchange. Moments are monotonic."""

    now: Callable[[], float]
    began: float
    asked: float = 0.0
    """When all was there to ask the app."""
    answered: float | None = None
    """When the answer began."""
    request: InboundRequest | None = None
    """None where it was refused."""
    client: str = ""
    """The address of who asked, behind proxies of ours; empty for that of the connection."""

    def ready(self) -> None:
        """The request is complete, as far as it is waited for: what follows is the app's time."""
        self.asked = self.now()

    def answers(self) -> None:
        """For `ServerExchange.on_head`."""
        self.answered = self.now()

    def origin_seconds(self, told: Told | None) -> float | None:
        """What the app took until it began to answer, if the answer is the app's."""
        mine = told is None or told.result in ("hit", "stale") or told.detail in _OF_OURS
        return None if mine or self.answered is None else self.answered - self.asked


class AccessLog:
    """Writes to `path`, or to the open file `fd`, in the format `line`; queries only `with_query`.

    `trust_forwarded`: clients are proxies of ours, and the last address of X-Forwarded-For is whom they asked for.
    Raises OutputError where the file cannot be opened. A disk that fails later costs lines (at most
    `lost`), never answers; it is said when that begins, and when it is over. So does a pipe that nobody reads.
    """

    def __init__(
        self,
        clock: Clock,
        path: Path | None = None,
        fd: int | None = None,
        *,
        line: LineFormat = JSON,
        with_query: bool = False,
        trust_forwarded: bool = False,
    ) -> None:
        self._clock = clock
        self._stamp, self._around = line
        self._with_query = with_query
        self._around_known = lru_cache(512)(self._shape_known)
        self._trust = trust_forwarded
        self._path = path
        self._fd = fd
        self._pipe: LogPipe | None = None
        self._lines: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None
        self._file: io.FileIO | None = None
        self._torn = False
        """The file may end in the middle of a line."""
        self._failing = False
        self.lost = 0
        self.reopen()

    def begin(self, exchange: ServerExchange) -> Visit:
        """A request has come: from now on its duration counts."""
        began = self._clock.now()
        visit = exchange.context = Visit(self._clock.now, began, began)
        exchange.on_head = visit.answers
        return visit

    def answered(self, exchange: ServerExchange | None, status: int, size: int, client: str) -> None:
        """For `Server.on_answered`."""
        if exchange is None:
            self._put(*self._around(Entry(client, status, size, size), self._with_query))
            return
        visit = exchange.context
        assert isinstance(visit, Visit)
        request, told = visit.request, _told(exchange.fields)
        entry = Entry(
            visit.client or client,
            status or _CLIENT_GONE,
            size,
            size - exchange.head_bytes,
            _asked(exchange),
            self._clock.now() - visit.began,
            visit.origin_seconds(told),
            told,
            request.request_id.decode() if request is not None and request.request_id else None,
            exchange.closed,
        )
        self._put(*self._around(entry, self._with_query))

    def known(self, data: bytes, answer: bytes, client: str) -> None:
        """For `Server.on_known`: a hit whose request and answer are bytes that came before."""
        size = len(answer)
        body = size - answer.index(b"\r\n\r\n") - 4
        # What is said of such a hit is much the same each time: only the moment is not.
        self._put(*self._around_known(data, answer[9:12], size, body, client))

    def _shape_known(self, data: bytes, status: bytes, size: int, body: int, client: str) -> tuple[bytes, bytes]:
        asked, forwarded_for, said = _read_known(data)
        request_id = None
        if self._trust:
            client = forwarded_for or client
            request_id = said if is_sane(said.encode("latin-1")) else None
        # It was looked up and written within one step.
        entry = Entry(client, int(status), size, body, asked, 0.0, None, HIT, request_id)
        return self._around(entry, self._with_query)

    def _put(self, before: bytes, after: bytes) -> None:
        self._lines.append(before + self._stamp(self._clock.wall()) + after)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_FLUSH_SECONDS, self.flush)
        if len(self._lines) >= _FLUSH_LINES:
            self.flush()

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
            if self._pipe is not None:
                self._pipe.write(data)
            elif self._file is not None:
                self._append(self._file, data)
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
            if self._pipe is not None and self._pipe.is_standard_error():
                # That would wait for the same reader.
                return
            _log.warning("the access log loses lines: %s; requests are answered all the same", error.strerror or error)

    def _recover(self) -> None:
        if self._failing:
            self._failing = False
            _log.warning("the access log is written again; at most %d lines were lost since the start", self.lost)

    def reopen(self) -> None:
        """Open the file anew: after it was moved away (log rotation)."""
        if self._path is None and self._file is not None:
            return
        # Who reads it goes on with the new one: nobody is waited for.
        self._close_file(0.0)
        try:
            if self._path is not None:
                self._file = io.FileIO(self._path, "a", opener=_open)
            elif self._fd is not None:
                self._file = io.FileIO(self._fd, "a", closefd=False)
        except OSError as error:
            raise OutputError(f"the access log {self._path} cannot be opened: {error.strerror}") from None
        if self._file is not None and is_read_by_somebody(self._file.fileno()):
            self._pipe = LogPipe(self._file.fileno(), self._clock.now, self._lose)

    def close(self) -> None:
        """Write what waits, and close the file."""
        self.flush()
        self._close_file(_LAST_SECONDS)

    def _close_file(self, seconds: float) -> None:
        if self._pipe is not None:
            self._pipe.close(seconds)
            self._pipe = None
        if self._file is not None:
            self._file.close()
            self._file = None


def _open(path: str, flags: int) -> int:
    # A named pipe that nobody reads is refused, not waited for.
    return os.open(path, flags | os.O_NONBLOCK, 0o666)


def _asked(exchange: ServerExchange) -> LoggedRequest:
    head = exchange.head
    agent = referer = None
    for name, value in head.fields:
        if name == b"user-agent":
            agent = value.decode("latin-1")
        elif name == b"referer":
            referer = value.decode("latin-1")
    protocol = "HTTP/1.0" if head.http_1_0 else "HTTP/1.1"
    text = [each.decode("latin-1") for each in (head.method, head.host, head.target)]
    return LoggedRequest(text[0], text[1], text[2], protocol, agent, referer)


def _told(fields: Iterable[tuple[bytes, bytes]]) -> Told | None:
    """What we say of it; ours is the last, after those of caches behind us."""
    ours = None
    for name, value in fields:
        if name == b"cache-status":
            ours = value
    return None if ours is None else read_cache_status(ours)


def _read_known(data: bytes) -> tuple[LoggedRequest, str, str]:
    """Of a request that was parsed before: what is asked, the last address of X-Forwarded-For, and X-Request-Id."""
    line, *lines = data.decode("latin-1").split("\r\n")
    method, target, protocol = line.split(" ")
    fields = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in lines)}
    asked = LoggedRequest(
        method, fields.get("host", ""), target, protocol, fields.get("user-agent"), fields.get("referer")
    )
    return asked, fields.get("x-forwarded-for", "").rpartition(",")[2].strip(), fields.get("x-request-id", "")
