"""A second look at what was not found: is it further down the list, or not reachable at all?

An approximate index that misses a vector at k = 1 often has it at k = 100. Such a miss of rank is a matter of tuning;
a vector that no search returns is lost. The mean reciprocal rank over all that were looked at sums it up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ...rules.census.finding import Finding, Id, rank_of_self
from ...rules.census.score_map import to_similarity
from .calibrate import AnswerReading
from .queries import Query

LOOKED_AT = frozenset({Finding.WRONG, Finding.EMPTY, Finding.NEAR})
HITS = 100


@dataclass(slots=True)
class SecondLook:
    """What the second look found."""

    hits: int = HITS
    ranks: dict[int, int | None] = field(default_factory=dict)
    """Position -> 1-based rank of the vector itself, None where it was not among the hits."""
    failed: int = 0

    def as_json(self) -> dict[str, Any]:
        """For the summary."""
        found = [rank for rank in self.ranks.values() if rank is not None]
        looked = len(self.ranks)
        return {
            "hits": self.hits,
            "looked_at": looked,
            "rank_miss": len(found),
            "unreachable": looked - len(found),
            "failed": self.failed,
            "mean_reciprocal_rank": round(sum(1 / rank for rank in found) / looked, 6) if looked else None,
        }


def ranking(
    hits: Callable[[Any], list[tuple[object, Id | None]]], reading: AnswerReading
) -> Callable[[Any, Query], int | None]:
    """The function from an answer to the rank of the vector that was asked for."""
    apply = reading.calibration.score_map.apply

    def rank(answer: Any, query: Query) -> int | None:
        found = [(to_similarity(score, apply), hit_id) for score, hit_id in hits(answer)]
        if reading.id_map is None:
            return rank_of_self([(similarity, None) for similarity, _ in found], None, reading.calibration)
        return rank_of_self(found, reading.id_map.expected(query.position), reading.calibration)

    return rank
