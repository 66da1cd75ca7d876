"""The run over time, one JSON line per sample, for people and plots.

Samples begin a second apart and thin out as the run grows older, so that a run of weeks leaves thousands of lines
and not millions.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from ..clock import SYSTEM_CLOCK
from ..errors import StorageError
from .engine import Engine

_SAMPLES_PER_DOUBLING = 600


class Series:
    """A Watcher that appends to `series.jsonl`."""

    def __init__(self, path: Path) -> None:
        try:
            self._file = path.open("ab")
        except OSError as error:
            raise StorageError(f"writing to {path}: {error.strerror or error}") from error
        self.interval = 1.0

    def show(self, engine: Engine[Any, Any], elapsed: float) -> None:
        """Append one sample. It is not synced: a sample is worth no more than that."""
        self.interval = max(1.0, elapsed / _SAMPLES_PER_DOUBLING)
        counters = engine.counters
        sample = {
            "at": round(SYSTEM_CLOCK.wall(), 3),
            "elapsed": round(elapsed, 3),
            "items": counters.items,
            "ok": counters.ok,
            "failed": counters.failed,
            "by_kind": counters.by_kind,
            "attempts": counters.attempts,
            "retries": counters.retries,
            "throttled": counters.throttled,
            "in_flight": counters.in_flight,
            "service_ms": counters.service.percentiles_ms(),
        }
        try:
            self._file.write(orjson.dumps(sample, option=orjson.OPT_APPEND_NEWLINE))
            self._file.flush()
        except OSError:
            # A full disk stops the run through its commits, which say so; a missing sample is no reason.
            return

    def close(self) -> None:
        """Let the file go."""
        self._file.close()
