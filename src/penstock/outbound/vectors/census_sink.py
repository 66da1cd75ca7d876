"""Outcomes of a census into its scoreboard, and its counters into a file beside it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from ...engine.outcome import Outcome
from ...errors import StorageError
from ...rules.census.finding import Finding
from ...rules.census.id_map import IdMap
from ...runs.storage import Storage
from .fields import KIND_CODES, NO_ID
from .scoreboard import Pages, Scoreboard

_COUNTERS_EVERY = 20
"""Commits between two saves of the counters: findings are exact at any time, attempts as of seconds ago."""


class CensusAnswer(NamedTuple):
    """What one answer said: the value of a census outcome."""

    status: int
    similarity: float
    hit_id: Any
    finding: Finding


class CensusSink:
    """A Sink (see `drive`) over a scoreboard."""

    def __init__(self, scoreboard: Scoreboard, id_map: IdMap | None, storage: Storage, counters: Path) -> None:
        self.pending_bytes = 0
        self.findings: Counter[Finding] = Counter(scoreboard.counts())
        self._scoreboard = scoreboard
        self._id_map = id_map
        self._storage = storage
        self._counters = counters
        self._commits = 0

    def put(self, outcome: Outcome[Any, CensusAnswer]) -> None:
        """Keep what was found; the scoreboard bounds what is pending by itself."""
        found = outcome.value
        latency_us = int(outcome.service * 1e6)
        if found is None:
            code = KIND_CODES.get(outcome.kind, 0xFFFF)
            finding = Finding.FAILED
            self._scoreboard.put(
                outcome.position, 0.0, latency_us, code, finding, outcome.attempts, outcome.status or 0
            )
        else:
            status, similarity, hit_id, finding = found
            hit = NO_ID if hit_id is None else self._position_of(hit_id)
            self._scoreboard.put(outcome.position, similarity, latency_us, hit, finding, outcome.attempts, status)
        self.findings[finding] += 1

    def _position_of(self, hit_id: Any) -> int:
        position = None if self._id_map is None else self._id_map.position(hit_id)
        return NO_ID if position is None or not 0 <= position < NO_ID else position

    def cut(self, counters: dict[str, Any]) -> CensusCommit:
        """What was found since the last cut, and now and then the counters too."""
        self._commits += 1
        save = counters if self._commits % _COUNTERS_EVERY == 1 or not counters else None
        return CensusCommit(self._scoreboard, self._scoreboard.freeze(), self._storage, self._counters, save)

    def save_counters(self, counters: dict[str, Any]) -> None:
        """Save them now, at the end of a session. Blocks."""
        self._storage.write_new(self._counters, orjson.dumps(counters))


@dataclass(frozen=True, slots=True)
class CensusCommit:
    """One group of findings on its way to disk."""

    scoreboard: Scoreboard
    pages: Pages
    storage: Storage
    path: Path
    counters: dict[str, Any] | None

    def write(self) -> None:
        """Raises StorageError."""
        self.scoreboard.write(self.pages)
        if self.counters is not None:
            self.storage.write_new(self.path, orjson.dumps(self.counters))


def load_counters(path: Path) -> dict[str, Any]:
    """The counters of the session before; empty where there are none."""
    try:
        counters: dict[str, Any] = orjson.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, orjson.JSONDecodeError) as error:
        raise StorageError(f"{path} cannot be read: {error}") from error
    return counters
