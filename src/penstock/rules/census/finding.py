"""What does one answer of a vector search say about the vector that was asked for?

The search was given a stored vector, so the best hit should be that very vector. A similarity alone is a weak
witness: on clustered data a wrong neighbour reaches 0.985. So the band is narrow, and the id decides where
there is one. Numbers and bands come from `score_map.Calibration`.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Mapping, Sequence

from .score_map import Calibration

Id = int | str


class Finding(enum.IntEnum):
    """What was found for one vector. The numbers are written to files: never change or reuse one."""

    NOT_DONE = 0
    SELF = 1
    """The vector itself: by its id, with a score inside the bands; or without ids, by a similarity of 1."""
    TIE_DUP = 2
    """Another id whose stored vector is byte for byte the same: as right an answer as the vector itself."""
    NEAR = 3
    """Not sure: a quantised score without an id, or the right id with a score that does not fit it."""
    WRONG = 4
    """Another vector."""
    EMPTY = 5
    """A well-formed answer without a hit."""
    MALFORMED = 6
    """A complete answer in which the score or the id cannot be found or is not of its type."""
    BAD_SCORE = 7
    """The score is NaN, infinite or further above 1 than rounding explains."""
    FAILED = 8
    """No answer: the call failed in transport or was refused. Not a statement about the index."""


RIGHT = frozenset({Finding.SELF, Finding.TIE_DUP})
"""What counts as accurate."""

ANSWERED = frozenset(Finding) - {Finding.NOT_DONE, Finding.FAILED}
"""What counts as answered, rightly or not."""

_SELF = Finding.SELF


def judge(
    similarity: object,
    hit_id: Id | None,
    expected_id: Id | None,
    calibration: Calibration,
    same_vector: Callable[[Id, Id | None], bool] | None = None,
) -> Finding:
    """The finding for a hit with this (mapped) similarity and id; `hit_id` None where the API gives none.

    `same_vector` is asked only when another id comes with the score of the vector itself: it says whether the
    two stored vectors are equal byte for byte. Without it such a hit is WRONG.
    """
    # The plain case first, by exact type: this line is passed ten million times.
    if (
        type(similarity) is float
        and calibration.low <= similarity <= calibration.high
        and (hit_id is None or hit_id == expected_id)
    ):
        return _SELF
    return _judge_closely(similarity, hit_id, expected_id, calibration, same_vector)


def _judge_closely(
    similarity: object,
    hit_id: Id | None,
    expected_id: Id | None,
    calibration: Calibration,
    same_vector: Callable[[Id, Id | None], bool] | None,
) -> Finding:
    if isinstance(similarity, bool) or not isinstance(similarity, (int, float)):
        return Finding.MALFORMED
    # NaN is the one number that is not at most near_high and not above it either.
    if not similarity <= calibration.near_high or similarity == -math.inf:
        return Finding.BAD_SCORE
    inside = calibration.low <= similarity <= calibration.high
    near = calibration.near_low <= similarity
    if hit_id is None:
        return Finding.SELF if inside else Finding.NEAR if near else Finding.WRONG
    if same_id(hit_id, expected_id):
        # A right id with a score far from "the same" is a row whose stored vector has changed.
        return Finding.SELF if near else Finding.NEAR
    if near and same_vector is not None and same_vector(hit_id, expected_id):
        return Finding.TIE_DUP
    return Finding.WRONG


def same_id(hit_id: Id | None, expected_id: Id | None) -> bool:
    """Whether the two name the same row; 17 and "17" do, since many servers turn ids into text."""
    if hit_id is None or expected_id is None:
        return False
    return hit_id == expected_id or str(hit_id) == str(expected_id)


def accuracy(counts: Mapping[Finding, int]) -> tuple[int, int]:
    """(right, answered): of the answers, how many are right."""
    return sum(counts.get(f, 0) for f in RIGHT), sum(counts.get(f, 0) for f in ANSWERED)


def success(counts: Mapping[Finding, int], total: int) -> tuple[int, int]:
    """(answered, total): of all vectors that were to be asked for, how many got an answer of any kind."""
    return sum(counts.get(f, 0) for f in ANSWERED), total


def rank_of_self(
    hits: Sequence[tuple[object, Id | None]], expected_id: Id | None, calibration: Calibration
) -> int | None:
    """The second look: the 1-based place of the vector itself among `hits`, best first.

    A hit is (similarity, id). None means that it was not among them: unreachable, as far as this many hits
    can tell. A miss that shows up further down is a miss of rank only.
    """
    for place, (similarity, hit_id) in enumerate(hits, 1):
        if judge(similarity, hit_id, expected_id, calibration) is Finding.SELF:
            return place
    return None
