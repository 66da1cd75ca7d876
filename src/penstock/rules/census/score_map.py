"""What does a server's score say? Maps from score to similarity; which fits, judged by a first sample.

Similarity here means: 1 for the vector itself, less for any other. Servers return cosines, half cosines,
distances or functions of them. A census asks for vectors that are stored, so the scores of the first sample
pile up where the server puts "the same": at 1, or at 0 for a distance. Where they do not, guessing would make
every later figure worthless, so the answer is a refusal that says what was seen and how to decide by hand.

Field facts behind the numbers: correct self scores in float32 lie within about 1e-6 of 1, and 14 % of them
above; an index quantised to 8 bits returns the vector itself at 0.9977 to 1.0027; wrong neighbours on
clustered data reach 0.985.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ...errors import UsageError

TOLERANCE = 1e-5
"""Half the width of the pass band around 1: ten times the rounding of a float32 cosine."""

OVERSHOOT = 1e-3
"""A similarity up to this much above 1 is rounding; more than that is not a score."""

MODE_BAND = 0.01
"""How near to 1 (or 0) a score of the sample must lie to count towards that mode."""

MODE_SHARE = 0.75
"""Share of the sample that must lie at one mode. An index that misses more needs its map by hand."""

QUANTISED_SHARE = 0.05
"""When more than this share of the mode lies outside the tolerance, the index is quantised."""

WIDEN = 2.0
"""The extremes of millions lie further out than those of a sample of 256."""


@dataclass(frozen=True, slots=True)
class ScoreMap:
    """One way to turn a server's score into a similarity."""

    name: str
    meaning: str
    apply: Callable[[float], float]
    """Takes any float; gives NaN where the score is impossible for this map."""


def _inverse_square(distance: float) -> float:
    # A product, not a power: ** raises OverflowError where * gives inf.
    return 1.0 / (1.0 + distance * distance)


def distance_of_score(score: float) -> float:
    """The distance d behind a score of 1 / (1 + d^2); NaN for a score that is not above 0.

    A score above 1 is rounding and gives 0. Rounding grows here: 1e-7 in the score is 3e-4 in d.
    """
    if not score > 0:
        return math.nan
    return math.sqrt(max(0.0, 1.0 / score - 1.0))


def _exp_of_minus(distance: float) -> float:
    # Below -700 exp overflows; such a distance is impossible anyway.
    return math.exp(-distance) if distance > -700 else math.nan


_MAPS = (
    ScoreMap("identity", "the score is the similarity", lambda s: s),
    ScoreMap("2s-1", "the score is (1 + cosine) / 2", lambda s: 2.0 * s - 1.0),
    ScoreMap("s-1", "the score is cosine + 1", lambda s: s - 1.0),
    ScoreMap("-s", "the score is a negated inner product of unit vectors", lambda s: -s),
    ScoreMap("1-sqrt(1/s-1)", "the score is 1 / (1 + d^2)", lambda s: 1.0 - distance_of_score(s)),
    ScoreMap("1-d", "the score is a distance, 0 for the same", lambda d: 1.0 - d),
    ScoreMap("1/(1+d^2)", "the score is a distance", _inverse_square),
    ScoreMap("exp(-d)", "the score is a distance", _exp_of_minus),
    ScoreMap("d==0", "the score is a distance that is exactly 0 for the same", lambda d: float(d == 0)),
)

SCORE_MAPS: dict[str, ScoreMap] = {score_map.name: score_map for score_map in _MAPS}
"""Every map by the name that `--score-map` takes."""


def score_map(name: str) -> ScoreMap:
    """The map called `name`, spaces ignored. Raises UsageError that lists the names."""
    found = SCORE_MAPS.get(name.replace(" ", ""))
    if found is None:
        raise UsageError(f"unknown score map {name!r}: take one of {', '.join(SCORE_MAPS)}")
    return found


def to_similarity(score: object, apply: Callable[[float], float]) -> float:
    """`score` as it came out of JSON, mapped; NaN for what is not a number."""
    if type(score) is float:
        return apply(score)
    if isinstance(score, int) and not isinstance(score, bool):
        try:
            return apply(float(score))
        except OverflowError:
            return math.nan
    return math.nan


@dataclass(frozen=True, slots=True)
class Calibration:
    """How the answers of one server are read: a map, a band around 1 that passes, and a wider one."""

    score_map: ScoreMap
    low: float
    """Least similarity that passes as the vector itself."""
    high: float
    """Greatest similarity that passes as the vector itself."""
    near_low: float
    """Least similarity that a quantised index gives the vector itself; `low` where it is not quantised."""
    near_high: float
    """Above this a similarity is impossible; at least 1 + OVERSHOOT."""
    sampled: int
    text: str
    """One or two sentences for a person: what was inferred, from what, and how to decide otherwise."""

    def identity(self) -> dict[str, object]:
        """What must be the same for a run to go on, as JSON values."""
        return {
            "score_map": self.score_map.name,
            "band": [self.low, self.high, self.near_low, self.near_high],
        }


@dataclass(frozen=True, slots=True)
class NotInferred:
    """Why nothing was inferred; `reason` says what was seen and what to give instead."""

    reason: str


def infer_score_map(
    self_scores: Sequence[object], *, path: str = "", tolerance: float = TOLERANCE
) -> Calibration | NotInferred:
    """The map that fits `self_scores`, the scores of the best hit for vectors that should all be stored.

    `path` is where the score was found in the answer. Scores at 0 are only taken for distances if it says so:
    a server that answers `{"similarity": 0.0}` to everything has found nothing, and must not pass as perfect.
    """
    scores = _numbers(self_scores)
    if len(scores) < MODE_SHARE * len(self_scores) or not scores:
        return NotInferred(
            f"{len(self_scores) - len(scores)} of {len(self_scores)} first answers hold no score"
            f"{f' at {path!r}' if path else ''}: give --similarity PATH, and look at one answer by hand"
        )
    at_one = _share_at(scores, 1.0)
    at_zero = _share_at(scores, 0.0)
    if at_one >= MODE_SHARE:
        return _calibration(SCORE_MAPS["identity"], scores, tolerance, "inferred")
    if at_zero >= MODE_SHARE and "dist" in path.lower():
        return _calibration(SCORE_MAPS["1-d"], scores, tolerance, "inferred")
    return NotInferred(_why_unclear(scores, at_one, at_zero, path))


def calibrate(
    self_scores: Sequence[object], chosen: ScoreMap, *, tolerance: float = TOLERANCE
) -> Calibration | NotInferred:
    """The bands for a map that was given by hand; an empty sample gives the narrow band alone.

    Refuses only if not one score of the sample maps to within MODE_BAND of 1: then the map is wrong, or the
    vectors are not there at all.
    """
    scores = _numbers(self_scores)
    if self_scores and not any(abs(chosen.apply(score) - 1.0) <= MODE_BAND for score in scores):
        seen = f"they lie from {min(scores):.6g} to {max(scores):.6g}" if scores else "no answer holds a score"
        return NotInferred(
            f"with the score map {chosen.name} not one of {len(self_scores)} first answers is near 1 "
            f"({seen}): either the vectors are not stored there or the score map does not fit"
        )
    return _calibration(chosen, scores, tolerance, "given")


def _numbers(values: Iterable[object]) -> list[float]:
    mapped = (to_similarity(value, float) for value in values)
    return [value for value in mapped if math.isfinite(value)]


def _share_at(scores: Sequence[float], mode: float) -> float:
    return sum(abs(score - mode) <= MODE_BAND for score in scores) / len(scores)


def _calibration(chosen: ScoreMap, scores: Sequence[float], tolerance: float, how: str) -> Calibration:
    if not 0 < tolerance <= MODE_BAND:
        raise UsageError(f"the tolerance must be above 0 and at most {MODE_BAND}, not {tolerance}")
    mapped = [chosen.apply(score) for score in scores]
    offsets = [s - 1.0 for s in mapped if abs(s - 1.0) <= MODE_BAND]
    outside = sum(abs(offset) > tolerance for offset in offsets)
    quantised = bool(offsets) and outside > QUANTISED_SHARE * len(offsets)
    near_low, near_high = 1.0 - tolerance, 1.0 + OVERSHOOT
    if quantised:
        near_low = min(near_low, 1.0 + WIDEN * min(offsets))
        near_high = max(near_high, 1.0 + WIDEN * max(offsets))
    text = f"score map {chosen.name} ({how}: {chosen.meaning}); "
    text += f"the vector itself is |1 - similarity| <= {tolerance:g}"
    if scores:
        text += f"; {len(offsets)} of {len(scores)} first scores agree"
    if quantised:
        text += (
            f"; the index looks quantised, so {near_low:.6g} to {near_high:.6g} counts as NEAR "
            "unless the answer's id decides (--id PATH)"
        )
    text += ". Other choices: --score-map NAME, --tolerance X."
    return Calibration(chosen, 1.0 - tolerance, 1.0 + tolerance, near_low, near_high, sampled=len(scores), text=text)


def _why_unclear(scores: Sequence[float], at_one: float, at_zero: float, path: str) -> str:
    seen = f"the best scores of {len(scores)} stored vectors lie from {min(scores):.6g} to {max(scores):.6g}"
    by_hand = f"give --score-map NAME ({', '.join(SCORE_MAPS)})"
    if at_zero >= MODE_SHARE:
        field = f" at {path!r}" if path else ""
        return (
            f"{seen}: the score{field} is 0 almost always, which is either a distance or 'nothing found'. "
            "If it is a distance, give --score-map 1-d"
        )
    for mode, name in ((2.0, "s-1"), (-1.0, "-s")):
        if _share_at(scores, mode) >= MODE_SHARE:
            return f"{seen}, almost all at {mode:g}: if that means the same vector, give --score-map {name}"
    if at_one + at_zero >= MODE_SHARE:
        return f"{seen}: {at_one:.0%} at 1 and {at_zero:.0%} at 0, so neither meaning fits all; {by_hand}"
    if max(scores) > 1.0 + MODE_BAND:
        return (
            f"{seen}, without one value for 'the same vector'. That is how a raw dot product of "
            "vectors of different length looks; the best hit then need not be the vector itself. "
            f"Search by cosine or distance, or {by_hand}"
        )
    return (
        f"{seen}, and only {at_one:.0%} of them at 1: most of these vectors are not found, or the score "
        f"is of another kind; check the URL and the collection, or {by_hand}"
    )
