"""The sessions of a run: a JSON line when one begins and one when it ends; a killed one has no second line."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import orjson

from .._version import __version__
from ..clock import SYSTEM_CLOCK, Clock
from ..limits.limiter import RateLimiter
from .driver import Watcher
from .examples import Examples
from .flow import Flow
from .series import Series


class SessionLog:
    """Writes one session into `sessions.jsonl`.

    Nothing of a run depends on this file, so nothing is synced and a full disk is no reason to stop.
    """

    def __init__(self, path: Path, clock: Clock = SYSTEM_CLOCK) -> None:
        self._path = path
        self._clock = clock

    def begin(self, flow: Flow, *, total: int | None, resumed_at: int) -> None:
        """The session begins; `resumed_at` items are done already."""
        by = flow.limit_by
        self._append(
            {
                "event": "begin",
                "at": round(self._clock.wall(), 3),
                "version": __version__,
                "pid": os.getpid(),
                "command": list(flow.command),
                "limits": [f"{limit} for each {by}" if by else str(limit) for limit in flow.limits],
                "total": total,
                "resumed_at": resumed_at,
                "max_outage_s": flow.max_outage,
            }
        )

    def end(self, how: str, summary: Mapping[str, Any] | None = None, message: str = "") -> None:
        """The session ends: `how` is complete, stopped, interrupted or error; `message` is that of the error."""
        self._append(
            {"event": "end", "at": round(self._clock.wall(), 3), "how": how, "message": message, "summary": summary}
        )

    def _append(self, line: dict[str, Any]) -> None:
        with contextlib.suppress(OSError), self._path.open("ab+") as file:
            if file.tell():
                # A kill in the middle of a line must not take the next one with it.
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    file.write(b"\n")
            file.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE, default=str))


class SessionRecord:
    """All that is kept of one session for people: its lines in `sessions.jsonl`, the series and the examples.

    A context manager: what is raised inside is noted as the way it ended. With `folder` None nothing is kept.
    """

    def __init__(
        self,
        folder: Path | None,
        limiter: RateLimiter,
        failed_kinds: set[str],
        known: Callable[[], dict[str, Any]] = dict,
    ) -> None:
        self.watchers: tuple[Watcher, ...] = ()
        self.examples: Examples | None = None
        self._log = SessionLog(folder / "sessions.jsonl") if folder is not None else None
        self._series = Series(folder / "series.jsonl", limiter, known=known) if folder is not None else None
        self._ended = False
        if folder is not None and self._series is not None:
            self.examples = Examples(folder / "examples.json")
            self.examples.restore(failed_kinds)
            self.watchers = (self._series, self.examples)

    def begin(self, flow: Flow, *, total: int | None, resumed_at: int) -> None:
        """The session begins; the facts are those of `SessionLog.begin`."""
        if self._log is not None:
            self._log.begin(flow, total=total, resumed_at=resumed_at)

    def end(self, summary: Mapping[str, Any]) -> None:
        """It came to its end, or was stopped; `summary["complete"]` says which."""
        self._end("complete" if summary["complete"] else "stopped", summary)

    def __enter__(self) -> SessionRecord:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if self._series is not None:
            self._series.close()
        if isinstance(error, Exception):
            self._end("error", None, str(error) or type(error).__name__)
        elif error is not None:
            self._end("interrupted", None)

    def _end(self, how: str, summary: Mapping[str, Any] | None, message: str = "") -> None:
        if self._log is not None and not self._ended:
            self._ended = True
            self._log.end(how, summary, message)
