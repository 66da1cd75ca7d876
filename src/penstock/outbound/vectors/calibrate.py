"""The first answers of a census tell how to read all others: what the score means, how ids name positions."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ...errors import UsageError
from ...rules.census.finding import Finding, Id, judge
from ...rules.census.id_map import IdMap, infer_id_map
from ...rules.census.score_map import (
    SCORE_MAPS,
    Calibration,
    NotInferred,
    calibrate,
    infer_score_map,
    score_map,
    to_similarity,
)
from .answers import Hit
from .census_sink import CensusAnswer
from .queries import Query

SAMPLE = 256


@dataclass(frozen=True, slots=True)
class AnswerReading:
    """How an answer is read, once calibrated."""

    calibration: Calibration
    id_map: IdMap | None
    note: str = ""
    control: tuple[int, int] = (0, 0)
    """Of how many made-up vectors that were answered, how many the server claimed to have."""

    def as_json(self) -> dict[str, Any]:
        """A form that `from_json` reads back."""
        each = self.calibration
        ids = self.id_map
        return {
            "score_map": each.score_map.name,
            "low": each.low,
            "high": each.high,
            "near_low": each.near_low,
            "near_high": each.near_high,
            "sampled": each.sampled,
            "text": each.text,
            "id_map": None if ids is None else [ids.offset, ids.prefix, ids.is_text],
            "note": self.note,
            "control": list(self.control),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> AnswerReading:
        """The inverse of `as_json`."""
        calibration = Calibration(
            SCORE_MAPS[data["score_map"]],
            data["low"],
            data["high"],
            data["near_low"],
            data["near_high"],
            data["sampled"],
            data["text"],
        )
        ids = data["id_map"]
        return cls(calibration, None if ids is None else IdMap(*ids), data["note"], tuple(data["control"]))


def learn(
    sample: list[tuple[int, Hit]],
    *,
    similarity_path: str,
    tolerance: float,
    chosen_map: str | None,
    with_ids: bool,
    ids_required: bool,
) -> AnswerReading:
    """The reading that fits `sample`, (position, hit) of the first answers.

    Raises UsageError, which says what was seen and how to decide by hand, where it is not clear.
    """
    scores = [score for _, (score, _, problem) in sample if problem is not Finding.EMPTY]
    if chosen_map is not None:
        calibration = calibrate(scores, score_map(chosen_map), tolerance=tolerance)
    else:
        calibration = infer_score_map(scores, path=similarity_path, tolerance=tolerance)
    if isinstance(calibration, NotInferred):
        raise UsageError(f"the first answers are not clear: {calibration.reason}")
    if not with_ids:
        return AnswerReading(calibration, None)
    id_map = infer_id_map([(position, hit_id) for position, (_, hit_id, _) in sample])
    if isinstance(id_map, NotInferred):
        if ids_required:
            raise UsageError(f"the first answers are not clear: {id_map.reason}")
        return AnswerReading(calibration, None, "the ids do not tell positions, so similarity alone decides")
    return AnswerReading(calibration, id_map)


def judging(
    read: Callable[[Any], Hit], reading: AnswerReading, same_vector: Callable[[Id, Id | None], bool] | None
) -> Callable[[Any, Query], CensusAnswer]:
    """The function that turns an answer into what was found."""
    calibration, id_map = reading.calibration, reading.id_map
    apply = calibration.score_map.apply
    plain = calibration.score_map.name == "identity"
    low, high = calibration.low, calibration.high

    def found(answer: Any, query: Query) -> CensusAnswer:
        score, hit_id, problem = read(answer)
        expected = None if id_map is None else id_map.expected(query.position)
        # The plain case first: it is passed ten million times, and `judge` would say the same.
        if plain and type(score) is float and low <= score <= high and (hit_id == expected or id_map is None):
            return CensusAnswer(200, score, hit_id, Finding.SELF)
        if problem is not None:
            return CensusAnswer(200, math.nan, None, problem)
        if isinstance(score, bool) or not isinstance(score, (int, float)):
            spelt = isinstance(score, str) and score.lower() == "nan"
            return CensusAnswer(200, math.nan, None, Finding.BAD_SCORE if spelt else Finding.MALFORMED)
        similarity = to_similarity(score, apply)
        if id_map is None:
            return CensusAnswer(200, similarity, None, judge(similarity, None, None, calibration))
        return CensusAnswer(200, similarity, hit_id, judge(similarity, hit_id, expected, calibration, same_vector))

    return found
