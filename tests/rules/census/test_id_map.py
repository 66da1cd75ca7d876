"""How ids tell positions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.rules.census.finding import Id
from penstock.rules.census.id_map import IdMap, infer_id_map
from penstock.rules.census.score_map import NotInferred


@pytest.mark.parametrize(
    ("sample", "found"),
    [
        ([(0, 0), (1, 1), (2, 2)], IdMap()),
        ([(0, "0"), (1, "1"), (12, "12")], IdMap(is_text=True)),
        ([(0, 1), (1, 2), (7, 8)], IdMap(offset=1)),
        ([(0, "doc-0"), (10, "doc-10")], IdMap(prefix="doc-", is_text=True)),
        ([(9, "v2/10"), (10, "v2/11")], IdMap(1, "v2/", True)),
        ([(0, 0), (1, 1), (2, 2), (3, 77)], IdMap()),
        ([(5, 5)], IdMap()),
    ],
)
def test_known_rules(sample: list[tuple[int, Id | None]], found: IdMap) -> None:
    """Numbers, text, counting from 1, a prefix, and a few misses among them."""
    assert infer_id_map(sample) == found


@pytest.mark.parametrize(
    "sample",
    [
        [],
        [(0, None), (1, None)],
        [(0, "f3a1-x"), (1, "9c7e-y")],
        [(0, 7), (1, 3), (2, 11)],
        [(0, "doc-00"), (10, "doc-10")],
        [(0, True), (1, True)],
    ],
)
def test_unclear_ids_are_refused(sample: list[tuple[int, Id | None]]) -> None:
    """Ids that tell nothing would call every vector wrong."""
    found = infer_id_map(sample)
    assert isinstance(found, NotInferred)
    assert "--id" in found.reason


@given(st.integers(0, 10**9), st.integers(-5, 5), st.sampled_from(["", "doc-", "a/"]), st.booleans())
def test_there_and_back(position: int, offset: int, prefix: str, is_text: bool) -> None:
    """The position of an expected id is the position."""
    rule = IdMap(offset, prefix if is_text else "", is_text)
    if position + offset >= 0:
        assert rule.position(rule.expected(position)) == position


def test_other_ids_have_no_position() -> None:
    """Another prefix, below the offset, nothing."""
    rule = IdMap(1, "doc-", True)
    assert rule.position("other-3") is None
    assert rule.position("doc-0") is None
    assert rule.position(None) is None
    assert rule.position("doc-") is None
