"""Which guess at the paging of an API holds: the one whose second page has other rows than the first."""

from __future__ import annotations

import enum
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from .candidates import Candidate
from .style import Paging

MOST_TRIES = 3
"""Pages that are asked for at most to find out."""


class Evidence(enum.Enum):
    """What a second page shows, in words that go after what was tried."""

    OTHER = "other rows"
    NONE = "no rows"
    SAME = "the same rows"
    REFUSED = "an error"


def compare(first: Sequence[Any], second: Sequence[Any]) -> Evidence:
    """What the rows of a second page show. A row is known by its id, where each has one of its own."""
    if not second:
        return Evidence.NONE
    ones, others = _names(first), _names(second)
    shared = sum(name in set(ones) for name in others)
    return Evidence.SAME if 2 * shared > len(others) else Evidence.OTHER


def _names(rows: Sequence[Any]) -> list[str]:
    for field in ("id", "_id", "uuid", "key"):
        values = [str(row.get(field)) for row in rows if isinstance(row, dict) and row.get(field) is not None]
        if len(values) == len(rows) and len(set(values)) == len(values):
            return values
    return [json.dumps(row, sort_keys=True, default=str) for row in rows]


class Proof:
    """Hands out one candidate after the other, and learns what came of it.

    `lacks`: there are rows beyond the first page, by its own word, so a second one without any proves nothing.
    """

    def __init__(self, candidates: Sequence[Candidate], *, lacks: bool = False) -> None:
        self.found: Candidate | None = None
        self.tried: list[str] = []
        """What was asked for, and what it showed."""
        self.disproved: list[Paging] = []
        self._left = list(candidates)
        self._lacks = lacks
        self._held: Candidate | None = None

    def next(self) -> Paging | None:
        """What to ask the second page of now; None where it is found, or nothing is left to try."""
        if self.found is not None or not self._left or len(self.tried) >= MOST_TRIES:
            return None
        if self._held is None and not self._left[0].first_known and len(self.tried) == MOST_TRIES - 1:
            # It takes two: which page is called 1 is no matter for a guess.
            self._left = [each for each in self._left if each.first_known]
            return self.next()
        return self._left[0].paging

    def learn(self, what: str, evidence: Evidence) -> None:
        """What the second page of that one was asked for with, and what it shows."""
        candidate = self._left.pop(0)
        self.tried.append(f"{what}: {evidence.value}")
        holds = evidence is Evidence.OTHER or (evidence is Evidence.NONE and not self._lacks)
        if self._held is not None:
            # What is called 1 is the second page where it has other rows, and the first where it has the same.
            self.found = candidate if evidence is Evidence.OTHER else self._held
        elif holds and not candidate.first_known:
            self._held = candidate
            self._left.insert(0, replace(candidate, paging=replace(candidate.paging, start="0"), first_known=True))
        elif holds:
            self.found = candidate
        else:
            self.disproved.append(candidate.paging)
