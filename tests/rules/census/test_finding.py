"""What one answer says about the vector that was asked for."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.rules.census.finding import ANSWERED, RIGHT, Finding, Id, accuracy, judge, rank_of_self, same_id, success
from penstock.rules.census.score_map import Calibration, infer_score_map


def _calibrated(*scores: float) -> Calibration:
    found = infer_score_map(scores)
    assert isinstance(found, Calibration)
    return found


PLAIN = _calibrated(*[1.0] * 16)
QUANTISED = _calibrated(*[0.998, 1.002] * 8)


def test_numbers_never_change() -> None:
    """They are in files: a change here would misread every old scoreboard."""
    assert {finding.name: int(finding) for finding in Finding} == {
        "NOT_DONE": 0,
        "SELF": 1,
        "TIE_DUP": 2,
        "NEAR": 3,
        "WRONG": 4,
        "EMPTY": 5,
        "MALFORMED": 6,
        "BAD_SCORE": 7,
        "FAILED": 8,
    }


@pytest.mark.parametrize(
    ("similarity", "hit", "expected", "finding"),
    [
        (1.0, None, 17, Finding.SELF),
        (1, None, 17, Finding.SELF),
        (0.99999976, None, None, Finding.SELF),
        (1.0000002, None, None, Finding.SELF),
        (1 - 9.9e-6, None, None, Finding.SELF),
        (1 - 1.1e-5, None, None, Finding.WRONG),
        (0.985, None, None, Finding.WRONG),
        (1.0005, None, None, Finding.NEAR),
        (1.002, None, None, Finding.BAD_SCORE),
        (math.nan, None, None, Finding.BAD_SCORE),
        (math.inf, None, None, Finding.BAD_SCORE),
        (-math.inf, None, None, Finding.BAD_SCORE),
        (10**400, None, None, Finding.BAD_SCORE),
        (-5.0, None, None, Finding.WRONG),
        (0, None, None, Finding.WRONG),
        (None, None, None, Finding.MALFORMED),
        ("1.0", None, None, Finding.MALFORMED),
        (True, None, None, Finding.MALFORMED),
        ([1.0], 17, 17, Finding.MALFORMED),
        (1.0, 17, 17, Finding.SELF),
        (1.0, "17", 17, Finding.SELF),
        (1.0, 17, "17", Finding.SELF),
        (1.0, 18, 17, Finding.WRONG),
        (1.0, "a", "b", Finding.WRONG),
        (0.7, 17, 17, Finding.NEAR),
        (math.nan, 17, 17, Finding.BAD_SCORE),
        (1.0, 0, 0, Finding.SELF),
        (1.0, 0, None, Finding.WRONG),
    ],
)
def test_plain_index(similarity: object, hit: Id | None, expected: Id | None, finding: Finding) -> None:
    """float32, without quantisation."""
    assert judge(similarity, hit, expected, PLAIN) is finding


@pytest.mark.parametrize(
    ("similarity", "hit", "finding"),
    [
        (0.998, None, Finding.NEAR),
        (1.0025, None, Finding.NEAR),
        (0.998, 17, Finding.SELF),
        (1.0025, "17", Finding.SELF),
        (0.998, 18, Finding.WRONG),
        (0.9, None, Finding.WRONG),
        (0.9, 17, Finding.NEAR),
        (1.1, 17, Finding.BAD_SCORE),
        (1.0, None, Finding.SELF),
    ],
)
def test_quantised_index(similarity: float, hit: Id | None, finding: Finding) -> None:
    """Where the vector itself scores 0.998 to 1.002, the id decides; without one it is NEAR, not right."""
    assert judge(similarity, hit, 17, QUANTISED) is finding


def test_duplicates_are_right() -> None:
    """Another id is right if its vector is the same; it is only looked up when the score allows it."""
    asked: list[tuple[Id, Id | None]] = []

    def same(hit: Id, expected: Id | None) -> bool:
        asked.append((hit, expected))
        return hit == 18

    assert judge(1.0, 18, 17, PLAIN, same) is Finding.TIE_DUP
    assert judge(1.0, 19, 17, PLAIN, same) is Finding.WRONG
    assert judge(0.9, 18, 17, PLAIN, same) is Finding.WRONG
    assert judge(1.0, 17, 17, PLAIN, same) is Finding.SELF
    assert judge(0.998, 18, 17, QUANTISED, same) is Finding.TIE_DUP
    assert asked == [(18, 17), (19, 17), (18, 17)]


@pytest.mark.parametrize(
    ("hit", "expected", "same"),
    [
        (17, 17, True),
        ("17", 17, True),
        (17, "17", True),
        (None, None, False),
        (0, None, False),
        ("017", 17, False),
    ],
)
def test_same_id(hit: Id | None, expected: Id | None, same: bool) -> None:
    """Numbers and their text are one id, "unknown" is none."""
    assert same_id(hit, expected) is same


@given(
    st.one_of(st.none(), st.floats(), st.integers(), st.text(), st.booleans()),
    st.one_of(st.none(), st.integers(), st.text()),
    st.one_of(st.none(), st.integers(), st.text()),
    st.sampled_from([PLAIN, QUANTISED]),
)
def test_every_answer_has_one_finding(
    similarity: object, hit: Id | None, expected: Id | None, used: Calibration
) -> None:
    """Nothing raises; only a number inside the near band is ever right; NaN and non-numbers never are."""
    found = judge(similarity, hit, expected, used)
    assert found in ANSWERED
    if found in RIGHT:
        assert isinstance(similarity, (int, float))
        assert used.near_low <= similarity <= used.near_high
        assert hit is None or same_id(hit, expected)


def test_accuracy_and_success() -> None:
    """Failures lower the success, not the accuracy; wrong answers lower the accuracy, not the success."""
    counts = {Finding.SELF: 90, Finding.TIE_DUP: 2, Finding.WRONG: 3, Finding.NEAR: 1, Finding.FAILED: 4}
    assert accuracy(counts) == (92, 96)
    assert success(counts, 100) == (96, 100)
    assert accuracy({}) == (0, 0)


def test_second_look() -> None:
    """A miss at rank 1 that is found at rank 3, and one that is not found at all."""
    hits: list[tuple[object, Id | None]] = [(1.0, 5), (1.0, 6), (1.0, 17)]
    assert rank_of_self(hits, 17, PLAIN) == 3
    assert rank_of_self(hits, 18, PLAIN) is None
    assert rank_of_self([(0.3, None), (1.0, None)], None, PLAIN) == 2
    assert rank_of_self([], 17, PLAIN) is None
