"""The files of all workers in one folder: those that live, and what the dead have counted.

The dead are kept for their counts. When they are many, one of the living puts them together in `merged.json`, which
names the files that are in it: who is killed before he has removed them leaves none that is counted twice.
"""

from __future__ import annotations

import contextlib
import errno
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..clock import SYSTEM_CLOCK, Clock
from ..rules.moving.judge import KINDS
from ..rules.moving.windows import ArmCounts, difference, together
from .durations import BUCKETS
from .row import name_of
from .whole_file import alone, write_whole
from .worker_file import ReadFile, Route, Worker

MOST_DEAD = 100
_MERGED = "merged.json"
_FOR_GOOD = {errno.EACCES, errno.EPERM, errno.ELOOP, errno.EISDIR, errno.ENXIO}
"""What is so of a file that is none of ours; all else may pass, such as too many open files."""
_TRIES = 3
"""How often all is read again where somebody has put the dead together meanwhile."""

Routes = dict[str, Route]
"""Counts by route and arm."""


class WorkerFiles:
    """What they tell. A folder that is not there tells nothing."""

    def __init__(self, folder: Path, clock: Clock = SYSTEM_CLOCK) -> None:
        self._folder = folder
        self._clock = clock
        self._living: dict[str, ReadFile] = {}
        self._dead: dict[str, Routes] = {}
        self._useless: set[str] = set()
        self._merged: Routes = {}
        self._swallowed: set[str] = set()
        self._merged_at: tuple[int, int] | None = None

    def look(self) -> None:
        """Who lives, and who does not any more. All else says what was so at the last look."""
        for _ in range(_TRIES):
            self._read_merged()
            names = self._names()
            if names is None:
                return
            for name in names - self._living.keys() - self._dead.keys() - self._useless - self._swallowed:
                self._meet(name)
            for name in self._living.keys() - names:
                self._living.pop(name).close()
            for name in [name for name, file in self._living.items() if not file.is_alive()]:
                self._bury(name)
            gone = [name for name in self._dead if name not in names or name in self._swallowed]
            if self._merged_stamp() == self._merged_at:
                for name in gone:
                    del self._dead[name]
                return

    def workers(self) -> list[Worker]:
        """Those that live on this machine, the oldest first."""
        here = (file.worker for file in self._living.values() if file.is_here)
        return sorted(here, key=lambda worker: worker.started)

    def living(self, routes: Iterable[str] | None = None) -> dict[str, Routes]:
        """What each that lives on this machine has counted, by its name; of these routes."""
        only = None if routes is None else set(map(name_of, routes))
        now = self._clock.now()
        return {name: file.routes(now, only) for name, file in self._living.items() if file.is_here}

    def ever(self, routes: Iterable[str] | None = None) -> Routes:
        """What all have counted, the dead too."""
        only = None if routes is None else set(map(name_of, routes))
        return _sum([*self.living(routes).values(), *self._dead.values(), self._merged], only)

    def merge(self) -> None:
        """Put the dead together if they are many and nobody else does it. Raises OSError."""
        if len(self._dead) <= MOST_DEAD:
            return
        with alone(self._folder / ".lock", 0.0, self._clock) as is_alone:
            if not is_alone:
                return
            self.look()
            if self._merged_stamp() != self._merged_at:
                # It cannot be read now, and what is in it would be gone.
                return
            for name in self._swallowed:
                (self._folder / name).unlink(missing_ok=True)
            together_now = _sum([*self._dead.values(), self._merged], None)
            swallowed = sorted(self._dead)
            write_whole(self._folder / _MERGED, _as_json(together_now, swallowed))
            for name in swallowed:
                (self._folder / name).unlink(missing_ok=True)
            self.look()

    def close(self) -> None:
        """Let all files go."""
        for file in self._living.values():
            file.close()
        self._living.clear()

    def _names(self) -> set[str] | None:
        """None where nobody can tell at the moment: this process may have as many files open as it may."""
        try:
            names = {path.name for path in self._folder.iterdir()}
        except (FileNotFoundError, NotADirectoryError):
            return set()
        except OSError:
            return None
        return set(filter(_is_of_a_worker, names))

    def _meet(self, name: str) -> None:
        try:
            self._living[name] = ReadFile(self._folder / name)
        except OSError as error:
            if error.errno in _FOR_GOOD:
                self._useless.add(name)
            return
        except ValueError:
            # Not one of ours; it is not opened again and again.
            self._useless.add(name)
            return
        if not self._living[name].is_alive():
            # At once, so that no more files are open than workers live: the service needs its descriptors.
            self._bury(name)

    def _bury(self, name: str) -> None:
        file = self._living.pop(name)
        # A step that was running when it died does not run any more, and what was in flight is over.
        self._dead[name] = {
            route: {arm: replace(counts, begun=counts.ended) for arm, counts in arms.items()}
            for route, arms in file.routes(0.0).items()
        }
        file.close()

    def _merged_stamp(self) -> tuple[int, int] | None:
        try:
            found = (self._folder / _MERGED).stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns

    def _read_merged(self) -> None:
        stamp = self._merged_stamp()
        if stamp == self._merged_at:
            return
        try:
            data = b"" if stamp is None else (self._folder / _MERGED).read_bytes()
        except OSError:
            # It stays what it was, and is tried again.
            return
        self._merged, self._swallowed = {}, set()
        # What somebody else has written there counts as nothing, whatever it is.
        with contextlib.suppress(Exception):
            self._merged, self._swallowed = _from_json(json.loads(data))
        self._merged_at = stamp


def since(now: Mapping[str, Routes], then: Mapping[str, Routes]) -> Routes:
    """What all workers of `now` have counted since `then`; of who came in between, all."""
    grown: list[Routes] = []
    for worker, routes in now.items():
        before = then.get(worker, {})
        grown.append(
            {
                route: {
                    arm: difference(counts, before.get(route, {}).get(arm, ArmCounts())) for arm, counts in arms.items()
                }
                for route, arms in routes.items()
            }
        )
    return _sum(grown, None)


def sum_of(workers: Mapping[str, Routes]) -> Routes:
    """What they have counted together."""
    return _sum(workers.values(), None)


def _sum(many: Iterable[Routes], only: set[str] | None) -> Routes:
    parts: dict[str, dict[str, list[ArmCounts]]] = {}
    for routes in many:
        for route, arms in routes.items():
            if only is None or route in only:
                for arm, counts in arms.items():
                    parts.setdefault(route, {}).setdefault(arm, []).append(counts)
    return {route: {arm: together(each) for arm, each in arms.items()} for route, arms in parts.items()}


def _as_json(routes: Routes, swallowed: list[str]) -> bytes:
    rows = [
        {
            "route": route,
            "arm": arm,
            "ended": counts.ended,
            "errors": counts.errors,
            "shed": counts.shed,
            "keyless": counts.keyless,
            "blocked": counts.blocked,
            "total": counts.total,
            "largest": counts.largest,
            "backs": counts.backs,
            "lost": counts.lost,
            "buckets": {str(index): count for index, count in enumerate(counts.buckets) if count},
        }
        for route, arms in routes.items()
        for arm, counts in arms.items()
    ]
    return json.dumps({"version": 1, "swallowed": swallowed, "rows": rows}).encode()


def _from_json(document: dict[str, Any]) -> tuple[Routes, set[str]]:
    routes: Routes = {}
    for row in document["rows"]:
        buckets = [0] * BUCKETS
        for index, count in row["buckets"].items():
            buckets[int(index) % BUCKETS] += int(count)
        routes.setdefault(str(row["route"]), {})[str(row["arm"])] = ArmCounts(
            begun=int(row["ended"]),
            ended=int(row["ended"]),
            errors=int(row["errors"]),
            shed=int(row["shed"]),
            keyless=int(row["keyless"]),
            blocked=float(row["blocked"]),
            total=float(row["total"]),
            largest=float(row["largest"]),
            backs=tuple(map(int, row["backs"]))[: len(KINDS)] or (0,) * len(KINDS),
            lost={str(name): int(count) for name, count in row["lost"].items()},
            buckets=tuple(buckets),
        )
    # They will be removed: nothing that is elsewhere.
    return routes, {name for name in map(str, document["swallowed"]) if _is_of_a_worker(name)}


def _is_of_a_worker(name: str) -> bool:
    return not name.startswith(".") and name == Path(name).name != _MERGED
