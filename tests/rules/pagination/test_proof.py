"""Which guess at the paging of an API is proved, by what its second page has."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.rules.pagination.candidates import Candidate
from penstock.rules.pagination.content_range import complete_length
from penstock.rules.pagination.detect import detect
from penstock.rules.pagination.proof import MOST_TRIES, Evidence, Proof, compare
from penstock.rules.pagination.style import Paging

OFFSET = Candidate(Paging("offset"), "it takes offset")
PAGE = Candidate(Paging("page"), "it takes page", first_known=False)
ODD = Candidate(Paging("offset", offset_param="$offset"), "it takes $offset")


def rows(*numbers: int) -> list[dict[str, int]]:
    """Rows with ids, and a field that is another one each time."""
    return [{"id": number, "seen": id(object())} for number in numbers]


@pytest.mark.parametrize(
    ("second", "evidence"),
    [
        (rows(4, 5, 6), Evidence.OTHER),
        (rows(3, 4, 5), Evidence.OTHER),
        (rows(1, 2, 3), Evidence.SAME),
        (rows(3, 1, 2), Evidence.SAME),
        (rows(2, 3, 4), Evidence.SAME),
        ([], Evidence.NONE),
    ],
)
def test_rows_are_compared_by_their_ids(second: list[dict[str, int]], evidence: Evidence) -> None:
    """Other rows prove; the same in another order, or most of them, do not."""
    assert compare(rows(1, 2, 3), second) is evidence


def test_rows_without_ids_are_compared_whole() -> None:
    """Also where they are no objects, or ids come twice."""
    assert compare([1, 2], [1, 2]) is Evidence.SAME
    assert compare([{"id": 1, "n": 1}, {"id": 1, "n": 2}], [{"id": 1, "n": 3}, {"id": 1, "n": 4}]) is Evidence.OTHER


@pytest.mark.parametrize(
    ("evidence", "lacks", "found"),
    [
        ([Evidence.OTHER], False, OFFSET.paging),
        ([Evidence.NONE], False, OFFSET.paging),
        # The API says that there are more rows: a page without any proves nothing.
        ([Evidence.NONE, Evidence.REFUSED, Evidence.OTHER], True, ODD.paging),
        ([Evidence.SAME, Evidence.SAME, Evidence.OTHER], False, ODD.paging),
        ([Evidence.SAME, Evidence.SAME, Evidence.SAME], False, None),
        # page=2 has other rows; page=1 has the same as none: it counts from 1. Has it others: from 0.
        ([Evidence.SAME, Evidence.OTHER, Evidence.SAME], False, PAGE.paging),
        ([Evidence.SAME, Evidence.OTHER, Evidence.REFUSED], False, PAGE.paging),
        ([Evidence.SAME, Evidence.OTHER, Evidence.OTHER], False, Paging("page", start="0")),
        ([Evidence.SAME, Evidence.NONE, Evidence.OTHER], False, Paging("page", start="0")),
    ],
)
def test_what_is_proved(evidence: list[Evidence], lacks: bool, found: Paging | None) -> None:
    """One after the other, until one holds, at most three."""
    proof = Proof([OFFSET, PAGE, ODD, OFFSET], lacks=lacks)
    for each in evidence:
        assert proof.next() is not None
        proof.learn("tried", each)
    assert proof.next() is None
    assert (None if proof.found is None else proof.found.paging) == found
    assert len(proof.tried) == len(evidence) <= MOST_TRIES


def test_a_guess_that_needs_two_tries_is_not_begun_with_one_left() -> None:
    """Pages that are called from 0 would lose one."""
    proof = Proof([OFFSET, ODD, PAGE])
    for _ in range(2):
        proof.learn("tried", Evidence.SAME)
    assert proof.next() is None


@pytest.mark.parametrize(
    ("value", "length"), [("items 0-49/250", 250), ("0-49/250", 250), ("*/250", 250), ("bytes 0-4/*", None)]
)
def test_content_range(value: str, length: int | None) -> None:
    """The number after the slash; `*` is unknown."""
    assert complete_length(value) == length


@pytest.mark.parametrize("value", ["", "250", "0-49", "0-49/", "a-b/250"])
def test_what_is_no_content_range(value: str) -> None:
    """A ValueError, and no guess."""
    with pytest.raises(ValueError, match="is no Content-Range"):
        complete_length(value)


@pytest.mark.parametrize(
    ("answer", "disproved", "options", "hint"),
    [
        ([{"id": 1}, {"id": 2}], [], "--paginate offset", "If it takes offset"),
        ([{"id": 1}, {"id": 2}], [Paging("page"), Paging("offset", offset_param="$offset")], "offset", "If it takes"),
        (
            [{"id": 1}, {"id": 2}],
            [OFFSET.paging],
            "cursor --cursor-param NAME --rows @ --next [-1].id",
            "If these rows are all",
        ),
        (
            {"a": {"b": [{"x": 1}]}},
            [OFFSET.paging],
            "cursor --cursor-param NAME --rows a.b --next NEXT",
            "If these rows are all",
        ),
        (
            {"a": [{"_id": 1}]},
            [OFFSET.paging],
            "cursor --cursor-param NAME --rows a --next a[-1]._id",
            "If these rows are all",
        ),
        (
            {"a": [{"x": 1}], "next": "t"},
            [OFFSET.paging, Paging("cursor")],
            "NAME --rows a --next next",
            "If 'next' is the next",
        ),
    ],
)
def test_advice_after_what_was_disproved(answer: Any, disproved: list[Paging], options: str, hint: str) -> None:
    """What has just been shown to be wrong is not what the user is told to try."""
    paging, when = detect(answer, {}, None, (), Paging()).advice(disproved)
    assert options in " ".join(paging.as_options())
    assert when.startswith(hint)
