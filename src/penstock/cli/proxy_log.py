"""What `penstock proxy` says while it runs: lines for people, or with `--log json` one event each.

docs/reference/metrics.md lists the events and their fields.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from .log import JsonLog
from .terminal import echo

_QUIET_SECONDS = 60.0


class ProxyLog:
    """`form` is "text" or "json"; what is said goes to standard error."""

    def __init__(self, form: str = "text") -> None:
        self._json = JsonLog("proxy") if form == "json" else None

    def say(self, event: str, text: str, *, level: str = "info", **fields: Any) -> None:
        """`text` for people, or `event` with `fields`."""
        if self._json is None:
            echo(f"penstock: {text}")
        else:
            self._json.write(event, level=level, **fields)

    def caution(self, text: str) -> None:
        """Something that is not as it should be, and of which nothing has to be known but the words."""
        self.say("warning", text, level="warning", message=text)

    @contextmanager
    def libraries(self) -> Iterator[None]:
        """What modules log is said as well: as it is for people, as events `warning` and `error` in JSON."""
        if self._json is None:
            yield
            return
        handler = _Events(self._json)
        root = logging.getLogger()
        root.addHandler(handler)
        try:
            yield
        finally:
            root.removeHandler(handler)


class Refusals:
    """Says that connections are refused, at most once a minute: whoever causes it must not fill the log."""

    def __init__(self, log: ProxyLog, now: Callable[[], float]) -> None:
        self._log = log
        self._now = now
        self._quiet_until = -math.inf
        self._count = 0

    def refused(self, address: str, of_one: bool) -> None:
        """For `Server.on_refused`."""
        self._count += 1
        if self._now() < self._quiet_until:
            return
        self._quiet_until = self._now() + _QUIET_SECONDS
        count, self._count = self._count, 0
        client = address or "unix:"
        bound = "max-connections-per-address" if of_one else "max-connections"
        self._log.say(
            "refused",
            f"connections are refused ({count} since this was last said), the last one of {client}: --{bound}",
            level="warning",
            connections=count,
            client=client,
            bound=bound.replace("-", "_"),
        )


class _Events(logging.Handler):
    def __init__(self, log: JsonLog) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        level = "error" if record.levelno >= logging.ERROR else "warning"
        more = {}
        if record.exc_info:
            more["traceback"] = logging.Formatter().formatException(record.exc_info)
        self._log.write(level, level=level, message=record.getMessage(), logger=record.name, **more)
