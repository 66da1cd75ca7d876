"""Where in an answer are the score and the id?

Paths are JMESPath. A general search costs 10 us or more; the paths that people write (`similarity`,
`result.points[0].score`) are plain steps, and those are compiled to a walk of 0.2 us that gives the same
value.

Three endings are told apart, since they mean different things for an index: a hit; a well-formed answer
without a hit (EMPTY); an answer in which the place itself is missing (MALFORMED).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError

from ...errors import UsageError
from ...rules.census.finding import Finding, Id

Step = str | int
Hit = tuple[object, Id | None, Finding | None]
"""(score as it came, id or None, what is wrong): the last is None for a hit, else EMPTY or MALFORMED."""

_STEP = re.compile(r'(?:^|\.)([A-Za-z_][A-Za-z0-9_]*|"[^"\\]+")|\[(-?\d{1,9})\]')
_EMPTY: Hit = (None, None, Finding.EMPTY)
_MALFORMED: Hit = (None, None, Finding.MALFORMED)


def plain_steps(path: str) -> tuple[Step, ...] | None:
    """The keys and indexes of a path that has nothing else, None for any other expression."""
    steps: list[Step] = []
    end = 0
    while end < len(path):
        step = _STEP.match(path, end)
        if step is None or (end == 0 and step[1] is None):
            return None
        steps.append(step[1].strip('"') if step[1] is not None else int(step[2]))
        end = step.end()
    return tuple(steps) or None


def compile_answer(
    similarity: str,
    id: str | None = None,  # noqa: A002 - the option's name
) -> Callable[[Any], Hit]:
    """A function from the parsed JSON of an answer to its best hit.

    With an id path the id must be there, a number or text. Raises UsageError for a path that is not JMESPath.
    """
    score_steps, id_steps = plain_steps(similarity), None if id is None else plain_steps(id)
    if score_steps is None or (id is not None and id_steps is None):
        return _general(_parse(similarity, "similarity"), None if id is None else _parse(id, "id"))
    if len(score_steps) == 1 and id is None and isinstance(score_steps[0], str):
        return _top_level(score_steps[0])
    return _walk(score_steps, id_steps)


def compile_hits(
    similarity: str,
    id: str | None = None,  # noqa: A002 - the option's name
) -> Callable[[Any], list[tuple[object, Id | None]]] | None:
    """A function from an answer to all its hits, (score, id) in order, for the second look.

    The list of hits is where the path's last `[0]` stands. None if the paths have no such place, so that an
    answer holds one hit only. What cannot be read ends the list.
    """
    score_steps, id_steps = plain_steps(similarity), None if id is None else plain_steps(id)
    if score_steps is None or 0 not in score_steps or (id is not None and (id_steps is None or 0 not in id_steps)):
        return None
    at_score = _at(score_steps)
    at_id = None if id_steps is None else _at(id_steps)

    def hits(answer: Any) -> list[tuple[object, Id | None]]:
        found: list[tuple[object, Id | None]] = []
        try:
            while True:
                place = len(found)
                found.append((at_score(answer, place), None if at_id is None else _as_id(at_id(answer, place))))
        except (KeyError, IndexError, TypeError):
            return found

    return hits


def _at(steps: tuple[Step, ...]) -> Callable[[Any, int], Any]:
    last = len(steps) - 1 - steps[::-1].index(0)
    before, after = steps[:last], steps[last + 1 :]
    return lambda answer, place: _follow(_follow(answer, before)[place], after)


def _top_level(name: str) -> Callable[[Any], Hit]:
    def read(answer: Any) -> Hit:
        if type(answer) is dict:
            score = answer.get(name)
            if score is not None:
                return score, None, None
            return _EMPTY if name in answer else _MALFORMED
        return _MALFORMED

    return read


def _walk(score_steps: tuple[Step, ...], id_steps: tuple[Step, ...] | None) -> Callable[[Any], Hit]:
    def read(answer: Any) -> Hit:
        try:
            score = answer
            for step in score_steps:
                score = score[step]
            if score is None:
                return _why_missing(answer, score_steps)
            if id_steps is None:
                return score, None, None
            hit_id = answer
            for step in id_steps:
                hit_id = hit_id[step]
        except (KeyError, IndexError, TypeError):
            return _why_missing(answer, score_steps)
        if type(hit_id) is int or type(hit_id) is str:
            return score, hit_id, None
        return _MALFORMED

    return read


def _follow(value: Any, steps: tuple[Step, ...]) -> Any:
    for step in steps:
        value = value[step]
    return value


def _why_missing(answer: Any, steps: tuple[Step, ...]) -> Hit:
    """EMPTY if the walk ended where the list of hits is empty, null or left out; MALFORMED anywhere else.

    Vespa leaves the list out when there is no hit. Only an inner one may be missing: `{"error": ...}` for
    `matches[0].score` is not an answer of the expected kind.
    """
    value = answer
    for depth, step in enumerate(steps):
        if isinstance(step, int):
            if isinstance(value, list) and not -len(value) <= step < len(value):
                return _EMPTY
            if not isinstance(value, list):
                return _EMPTY if value is None else _MALFORMED
        elif not isinstance(value, dict):
            return _MALFORMED
        elif step not in value:
            leads_to_list = depth + 1 < len(steps) and isinstance(steps[depth + 1], int)
            return _EMPTY if depth and leads_to_list else _MALFORMED
        value = value[step]
    # The place is there and holds null (or the id beside it is missing). Behind an index there is a hit, so a
    # null is a score that could not be computed; without one, null is how a plain answer says "none".
    plain = not any(isinstance(step, int) for step in steps)
    return _EMPTY if value is None and plain else _MALFORMED


def _parse(path: str, option: str) -> Any:
    try:
        return jmespath.compile(path)
    except (JMESPathError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(f"--{option} {path!r} is not a JMESPath expression: {reason}") from error


def _general(score_path: Any, id_path: Any | None) -> Callable[[Any], Hit]:
    def read(answer: Any) -> Hit:
        try:
            score = score_path.search(answer)
            hit_id = None if id_path is None else id_path.search(answer)
        except JMESPathError:
            # A function met a value of the wrong type.
            return _MALFORMED
        if score is None:
            # JMESPath says null for "no such place" and for "nothing there" alike.
            return _EMPTY if isinstance(answer, (dict, list)) and answer else _MALFORMED
        if id_path is None:
            return score, None, None
        return (score, hit_id, None) if isinstance(_as_id(hit_id), (int, str)) else _MALFORMED

    return read


def _as_id(value: object) -> Id | None:
    return value if type(value) is int or type(value) is str else None
