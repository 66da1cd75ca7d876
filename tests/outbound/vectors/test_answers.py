"""Score and id out of an answer."""

from typing import Any

import jmespath
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import UsageError
from penstock.outbound.vectors.answers import compile_answer, compile_hits, plain_steps
from penstock.rules.census.finding import Finding

EMPTY = (None, None, Finding.EMPTY)
MALFORMED = (None, None, Finding.MALFORMED)
QDRANT = ("result.points[0].score", "result.points[0].id")
CHROMA = ("distances[0][0]", "ids[0][0]")


@pytest.mark.parametrize(
    ("path", "steps"),
    [
        ("similarity", ("similarity",)),
        ("a.b", ("a", "b")),
        ("a[0].b", ("a", 0, "b")),
        ("a[0][-1]", ("a", 0, -1)),
        ('"odd name".x', ("odd name", "x")),
        ("_score", ("_score",)),
        ("a[*].b", None),
        ("a || b", None),
        ("max(a)", None),
        ("[0]", None),
        ("@", None),
        ("a.", None),
        ("", None),
        ("a..b", None),
        ('"a\\"b"', None),
    ],
)
def test_plain_paths(path: str, steps: tuple[str | int, ...] | None) -> None:
    """Only keys and indexes are plain; the rest is left to JMESPath."""
    assert plain_steps(path) == steps


@pytest.mark.parametrize(
    ("paths", "answer", "found"),
    [
        (("similarity", None), {"similarity": 1.0}, (1.0, None, None)),
        (("similarity", None), {"similarity": 0}, (0, None, None)),
        (("similarity", None), {"similarity": None}, EMPTY),
        (("similarity", None), {}, MALFORMED),
        (("similarity", None), {"error": "x"}, MALFORMED),
        (("similarity", None), [], MALFORMED),
        (("similarity", None), "similarity", MALFORMED),
        (("similarity", None), None, MALFORMED),
        (("similarity", None), {"similarity": "high"}, ("high", None, None)),
        (("a.b", None), {"a": {"b": None}}, EMPTY),
        (("a.b", None), {"a": None}, MALFORMED),
        (("a.b", None), {"a": {}}, MALFORMED),
        (QDRANT, {"result": {"points": [{"score": 1.0, "id": 7}]}}, (1.0, 7, None)),
        (QDRANT, {"result": {"points": [{"score": 1.0, "id": "u-7"}]}}, (1.0, "u-7", None)),
        (QDRANT, {"result": {"points": []}}, EMPTY),
        (QDRANT, {"result": {"points": None}}, EMPTY),
        (QDRANT, {"result": {}}, EMPTY),
        (QDRANT, {"result": None}, MALFORMED),
        (QDRANT, {"result": {"points": {}}}, MALFORMED),
        (QDRANT, {"result": {"points": "none"}}, MALFORMED),
        (QDRANT, {"result": {"points": [{"score": None, "id": 7}]}}, MALFORMED),
        (QDRANT, {"result": {"points": [{"score": 1.0}]}}, MALFORMED),
        (QDRANT, {"result": {"points": [{"score": 1.0, "id": None}]}}, MALFORMED),
        (QDRANT, {"result": {"points": [{"score": 1.0, "id": 1.5}]}}, MALFORMED),
        (QDRANT, {"result": {"points": [{"score": 1.0, "id": True}]}}, MALFORMED),
        (QDRANT, {"result": {"points": [7]}}, MALFORMED),
        (QDRANT, {"status": "error"}, MALFORMED),
        (QDRANT, [1, 2], MALFORMED),
        (CHROMA, {"ids": [["17"]], "distances": [[0.0]]}, (0.0, "17", None)),
        (CHROMA, {"ids": [[]], "distances": [[]]}, EMPTY),
        (CHROMA, {"ids": [], "distances": []}, EMPTY),
        (CHROMA, {"ids": [["17"]], "distances": None}, EMPTY),
        (("max(s)", None), {"s": [0.5, 1.0]}, (1.0, None, None)),
        (("max(s)", None), {"s": "x"}, MALFORMED),
        (("max(s)", None), {"s": []}, EMPTY),
        (("max(s)", None), None, MALFORMED),
        (
            ("hits[?ok] | [0].s", "hits[?ok] | [0].id"),
            {"hits": [{"ok": True, "s": 1.0, "id": 3}]},
            (1.0, 3, None),
        ),
        (("hits[?ok] | [0].s", "hits[?ok] | [0].id"), {"hits": [{"ok": True, "s": 1.0}]}, MALFORMED),
        (("hits[?ok] | [0].s", None), {"hits": []}, EMPTY),
    ],
)
def test_answers(paths: tuple[str, str | None], answer: Any, found: object) -> None:
    """A hit, no hit, or an answer of another kind."""
    assert compile_answer(*paths)(answer) == found


@pytest.mark.parametrize(("path", "option"), [("a..b", "--similarity"), ("", "--similarity"), ("[", "--similarity")])
def test_paths_that_are_refused(path: str, option: str) -> None:
    """Before anything is sent, with the option's name."""
    with pytest.raises(UsageError, match=option):
        compile_answer(path)
    with pytest.raises(UsageError, match="--id"):
        compile_answer("a", path)


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.sampled_from("abx")),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("ab"), inner, max_size=3)),
    max_leaves=12,
)


@given(JSON, st.sampled_from(["a", "a.b", "a[0]", "a[0].b", "b[0][1]", "a[-1].a", "a.b[0].a.b"]))
def test_same_as_jmespath(answer: Any, path: str) -> None:
    """The compiled walk finds what JMESPath finds, for any JSON, and never raises."""
    score, hit_id, problem = compile_answer(path)(answer)
    wanted = jmespath.search(path, answer)
    assert hit_id is None
    # JMESPath gives null where a string is indexed; the walk may give the letter, which is no number either.
    if isinstance(score, str):
        assert problem is None
    else:
        assert score == wanted
        assert (problem is None) is (wanted is not None)


@given(JSON, st.sampled_from(["a", "a[0].b"]), st.sampled_from(["b", "a[0].a"]))
def test_ids_are_ids(answer: Any, path: str, id_path: str) -> None:
    """With an id path, a hit always has an id that is a number or text."""
    score, hit_id, problem = compile_answer(path, id_path)(answer)
    assert problem is not None or (score is not None and type(hit_id) in (int, str))


@pytest.mark.parametrize(
    ("paths", "answer", "found"),
    [
        (
            QDRANT,
            {"result": {"points": [{"score": 0.9, "id": 1}, {"score": 0.8, "id": 2}]}},
            [(0.9, 1), (0.8, 2)],
        ),
        (QDRANT, {"result": {"points": []}}, []),
        (QDRANT, {"result": None}, []),
        (QDRANT, {}, []),
        (QDRANT, {"result": {"points": [{"score": 0.9, "id": 1}, {"id": 2}]}}, [(0.9, 1)]),
        (CHROMA, {"ids": [["1", "2"]], "distances": [[0.0, 0.5]]}, [(0.0, "1"), (0.5, "2")]),
        (("matches[0].score", None), {"matches": [{"score": 1}, {"score": 0}]}, [(1, None), (0, None)]),
    ],
)
def test_all_hits(paths: tuple[str, str | None], answer: Any, found: list[object]) -> None:
    """For the second look."""
    hits = compile_hits(*paths)
    assert hits is not None
    assert hits(answer) == found


@pytest.mark.parametrize("paths", [("similarity", None), ("a[0].s", "id"), ("max(a)", None), ("a[1].s", None)])
def test_answers_with_one_hit_only(paths: tuple[str, str | None]) -> None:
    """No list, no second look."""
    assert compile_hits(*paths) is None
