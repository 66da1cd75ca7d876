"""What a score means, and what is inferred from a first sample."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import UsageError
from penstock.rules.census.score_map import (
    MODE_BAND,
    SCORE_MAPS,
    Calibration,
    NotInferred,
    calibrate,
    distance_of_score,
    infer_score_map,
    score_map,
    to_similarity,
)


@pytest.mark.parametrize(
    ("name", "score", "similarity"),
    [
        ("identity", 0.25, 0.25),
        ("2s-1", 1.0, 1.0),
        ("2s-1", 0.5, 0.0),
        ("s-1", 2.0, 1.0),
        ("-s", -1.0, 1.0),
        ("1-d", 0.0, 1.0),
        ("1-d", -4.8e-7, 1.00000048),
        ("1/(1+d^2)", 0.0, 1.0),
        ("1/(1+d^2)", 2.0, 0.2),
        ("1/(1+d^2)", 1e200, 0.0),
        ("exp(-d)", 0.0, 1.0),
        ("exp(-d)", 1.0, 0.36787944),
        ("exp(-d)", 1e308, 0.0),
        ("d==0", 0.0, 1.0),
        ("d==0", 1e-12, 0.0),
        ("1-sqrt(1/s-1)", 1.0, 1.0),
        ("1-sqrt(1/s-1)", 0.5, 0.0),
        ("1-sqrt(1/s-1)", 1.0000002, 1.0),
    ],
)
def test_maps(name: str, score: float, similarity: float) -> None:
    """Each map by hand-computed pairs."""
    assert score_map(name).apply(score) == pytest.approx(similarity)


@pytest.mark.parametrize("name", SCORE_MAPS)
@given(score=st.floats())
def test_no_map_raises(name: str, score: float) -> None:
    """Any float, also NaN, infinite or absurd, maps to a float."""
    assert isinstance(SCORE_MAPS[name].apply(score), float)


@pytest.mark.parametrize("name", SCORE_MAPS)
def test_nan_never_maps_to_the_same(name: str) -> None:
    """NaN does not become a similarity of 1."""
    assert SCORE_MAPS[name].apply(math.nan) != 1.0


@given(st.floats(0, 1e6))
def test_distance_is_recovered(distance: float) -> None:
    """The inverse of 1/(1+d^2) gives d back as well as the rounding of the score allows."""
    score = SCORE_MAPS["1/(1+d^2)"].apply(distance)
    assert distance_of_score(score) == pytest.approx(distance, rel=1e-3, abs=1e-7)


@pytest.mark.parametrize("score", [0.0, -1.0, math.nan])
def test_impossible_score_has_no_distance(score: float) -> None:
    """1 / (1 + d^2) is above 0."""
    assert math.isnan(distance_of_score(score))


def test_names() -> None:
    """Spaces do not matter; an unknown name is answered with the list."""
    assert score_map(" 1 - d ").name == "1-d"
    with pytest.raises(UsageError, match="identity, 2s-1"):
        score_map("cosine")


@pytest.mark.parametrize("score", [None, "1.0", "NaN", True, [1.0], {}, 10**400, math.nan])
def test_what_is_no_number_is_nan(score: object) -> None:
    """JSON holds more than numbers, and numbers that no float holds."""
    assert math.isnan(to_similarity(score, SCORE_MAPS["identity"].apply))


def test_whole_numbers_count() -> None:
    """JSON writes 1.0 as 1 where it likes."""
    assert to_similarity(1, SCORE_MAPS["identity"].apply) == 1.0


def _calibration(found: Calibration | NotInferred) -> Calibration:
    assert isinstance(found, Calibration), found
    return found


def _refusal(found: Calibration | NotInferred) -> str:
    assert isinstance(found, NotInferred), found
    return found.reason


def test_float32_cosines() -> None:
    """Self scores as measured for float32 pass with the narrow band."""
    chance = random.Random(1)
    found = _calibration(infer_score_map([1.0 + chance.uniform(-2.4e-7, 2e-7) for _ in range(256)]))
    assert found.score_map.name == "identity"
    assert (found.low, found.high) == pytest.approx((1 - 1e-5, 1 + 1e-5))
    assert found.near_low == found.low
    assert found.near_high == pytest.approx(1.001)
    assert "256 of 256" in found.text
    assert "--score-map" in found.text


def test_some_misses_do_not_matter() -> None:
    """An index with 10 % misses is calibrated all the same, and the misses do not widen the band."""
    found = _calibration(infer_score_map([1.0] * 230 + [0.985] * 26))
    assert found.near_low == found.low
    assert "230 of 256" in found.text


def test_quantised_index() -> None:
    """SQ8 scores (0.9977 to 1.0027 measured) widen the near band and leave the pass band alone."""
    chance = random.Random(2)
    found = _calibration(infer_score_map([chance.uniform(0.9977, 1.0027) for _ in range(256)]))
    assert found.low == pytest.approx(1 - 1e-5)
    assert 0.99 < found.near_low < 0.9977
    assert 1.0027 < found.near_high < 1.01
    assert "quantised" in found.text


@pytest.mark.parametrize("path", ["distances[0][0]", "dist", "data[0].distance"])
def test_distances_are_inferred_where_the_name_says_so(path: str) -> None:
    """Chroma's self distances: around 0, also below."""
    found = _calibration(infer_score_map([0.0, -4.8e-7, 7.2e-7, 1e-7] * 64, path=path))
    assert found.score_map.name == "1-d"


def test_zero_similarity_is_not_a_perfect_distance() -> None:
    """A server that finds nothing and says 0 must not pass as one that finds everything."""
    reason = _refusal(infer_score_map([0.0] * 256, path="similarity"))
    assert "--score-map 1-d" in reason


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        ([], "no score"),
        ([None] * 256, "no score"),
        (["1.0"] * 256, "no score"),
        ([math.nan] * 256, "no score"),
        ([1.0] * 100 + [None] * 156, "156 of 256"),
        ([2.0] * 256, "--score-map s-1"),
        ([-1.0] * 256, "--score-map -s"),
        ([1.0] * 128 + [0.0] * 128, "50% at 1 and 50% at 0"),
        ([float(n) for n in range(10, 266)], "dot product"),
        ([0.4 + n / 1000 for n in range(256)], "check the URL"),
    ],
)
def test_unclear_samples_are_refused(scores: list[object], said: str) -> None:
    """Each refusal says what was seen and what to do."""
    assert said in _refusal(infer_score_map(scores, path="score"))


@given(st.lists(st.one_of(st.none(), st.text(), st.floats(), st.integers(), st.booleans())))
def test_anything_is_answered(scores: list[object]) -> None:
    """No sample raises; what is inferred explains most of it, within sane bands."""
    found = infer_score_map(scores, path="distance")
    if isinstance(found, Calibration):
        assert found.near_low <= found.low < 1.0 < found.high <= found.near_high
        assert found.near_low >= 1 - 2 * MODE_BAND
    else:
        assert found.reason


def test_a_given_map_is_taken() -> None:
    """By hand, also where nothing would be inferred; and without any sample."""
    found = _calibration(calibrate([2.0] * 10, score_map("s-1"), tolerance=1e-4))
    assert found.score_map.name == "s-1"
    assert found.low == pytest.approx(0.9999)
    assert _calibration(calibrate([], score_map("d==0"))).sampled == 0


def test_a_given_map_that_cannot_be_right_is_refused() -> None:
    """Not one score near 1 means another map, or vectors that are not there."""
    assert "not one of 10" in _refusal(calibrate([0.0] * 10, score_map("identity")))
    assert "no answer holds a score" in _refusal(calibrate([None] * 10, score_map("identity")))


@pytest.mark.parametrize("tolerance", [0.0, -1.0, 0.5, math.nan])
def test_absurd_tolerance(tolerance: float) -> None:
    """A band that lets everything or nothing pass is a mistake."""
    with pytest.raises(UsageError, match="tolerance"):
        infer_score_map([1.0], tolerance=tolerance)


def test_identity_is_json() -> None:
    """What a resumed run compares."""
    found = _calibration(infer_score_map([1.0] * 8))
    assert found.identity() == {"score_map": "identity", "band": [found.low, found.high, found.low, 1.001]}
