"""Examples worth a look: the slowest items, and the first and the last that failed, of each kind."""

from __future__ import annotations

import contextlib
import heapq
from collections import deque
from pathlib import Path
from typing import Any

import orjson

from ..clock import SYSTEM_CLOCK, Clock
from ..engine.engine import Engine
from ..engine.outcome import Answer, Outcome
from .exact_json import dumps

SLOWEST = 20
"""So many of the slowest are kept."""

PER_KIND = 5
"""So many of the first, and of the last, failures of a kind are kept."""

_MOST_KINDS = 50
_MOST_CHARACTERS = 300


class Examples:
    """A Watcher that keeps examples in `examples.json`, written at most once a second and merged over sessions.

    Whoever hands out outcomes need not call `see` for one that is ok and took no longer than `floor` seconds: one
    comparison is all that the plain case costs.
    """

    interval = 1.0

    def __init__(self, path: Path, clock: Clock = SYSTEM_CLOCK) -> None:
        self.floor = -1.0
        """Seconds; -1 as long as every duration is among the slowest."""
        self._path = path
        self._clock = clock
        self._slowest: list[tuple[float, int, dict[str, Any]]] = []
        self._first: dict[str, list[dict[str, Any]]] = {}
        self._last: dict[str, deque[dict[str, Any]]] = {}
        self._changed = False

    def restore(self, failed_kinds: set[str]) -> None:
        """Go on from what an earlier session kept, but for failures of kinds that are not among `failed_kinds`.

        What is damaged is left out: these are examples.
        """
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
            kept = orjson.loads(self._path.read_bytes())
            for example in kept["slowest"]:
                self._note_slow(float(example["service_s"]), int(example["position"]), example)
            for kind, some in kept["failed"].items():
                if kind in failed_kinds:
                    self._first[kind] = list(some["first"])[:PER_KIND]
                    self._last[kind] = deque(some["last"], PER_KIND)

    def see(self, outcome: Outcome[Any, Any]) -> None:
        """Keep what is worth keeping of `outcome`."""
        if not outcome.ok or outcome.service > self.floor:
            self.keep(_example(outcome, self._clock.wall()))

    def keep(self, example: dict[str, Any]) -> None:
        """Keep an `example` that another process has `kept`, if it is worth it here too."""
        if example["service_s"] > self.floor and example["attempts"]:
            self._note_slow(example["service_s"], example["position"], example)
        if example["kind"]:
            self._note_failed(example["kind"], example)
        self._changed = True

    def _note_slow(self, seconds: float, position: int, example: dict[str, Any]) -> None:
        # A repeat of the same item, after a kill, is not another example.
        self._slowest = [each for each in self._slowest if each[1] != position]
        heapq.heapify(self._slowest)
        heapq.heappush(self._slowest, (seconds, position, example))
        if len(self._slowest) > SLOWEST:
            heapq.heappop(self._slowest)
        self.floor = self._slowest[0][0] if len(self._slowest) == SLOWEST else -1.0

    def _note_failed(self, kind: str, example: dict[str, Any]) -> None:
        first = self._first.get(kind)
        if first is None:
            if len(self._first) >= _MOST_KINDS:
                return
            first = self._first[kind] = []
            self._last[kind] = deque(maxlen=PER_KIND)
        if len(first) < PER_KIND:
            first.append(example)
        else:
            self._last[kind].append(example)

    def kept(self) -> list[dict[str, Any]]:
        """Each that is kept once, in the order in which they ended."""
        some = [each[2] for each in self._slowest]
        for kind, first in self._first.items():
            some += [*first, *self._last[kind]]
        return sorted({each["position"]: each for each in some}.values(), key=lambda each: each["at"])

    def as_json(self) -> dict[str, Any]:
        """What is in the file: `slowest`, the slowest first, and `failed`, by kind."""
        return {
            "slowest": [each[2] for each in sorted(self._slowest, key=lambda each: (-each[0], each[1]))],
            "failed": {
                kind: {"first": first, "last": list(self._last.get(kind, ()))} for kind, first in self._first.items()
            },
        }

    def show(self, engine: Engine[Any, Any], elapsed: float) -> None:
        """Write what is new."""
        self.write()

    def write(self) -> None:
        """Write them if there are new ones. Not synced, and a full disk is no reason to stop: the commits say so."""
        if not self._changed:
            return
        self._changed = False
        part = self._path.with_name(self._path.name + ".part")
        with contextlib.suppress(OSError):
            part.write_bytes(dumps(self.as_json()))
            part.replace(self._path)


def _example(outcome: Outcome[Any, Any], at: float) -> dict[str, Any]:
    key, answer = outcome.key, outcome.value
    return {
        "key": key if isinstance(key, int) else str(key)[:_MOST_CHARACTERS],
        "position": outcome.position,
        "at": round(at, 3),
        "status": answer.status if isinstance(answer, Answer) else outcome.status,
        "attempts": outcome.attempts,
        "service_s": round(outcome.service, 6),
        "kind": outcome.kind,
        "message": outcome.message[:_MOST_CHARACTERS],
    }
