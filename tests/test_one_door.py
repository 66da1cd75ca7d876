"""What closes a flight stands in one room, and the parts of the cache do not write into each other.

The table of open flights was once changed in six places of two files, and 42 times a field of an object was set by
another one: to know what a flight does, all of them had to be read.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

CACHE = Path(__file__).parent.parent / "src" / "penstock" / "inbound" / "cache"
MODULES = sorted(CACHE.glob("*.py"))

# Fewer is better; one more needs a method that says what happens.
MOST_WRITES = 8
WRITES_OF_THE_CENTRE = {"storing.body"}
# Plain numbers, added to in place by whoever sees what they count.
MOST_COUNTS = 12
_COUNTERS = ("self.counters.", "self._counters.", "engine.counters.")


def targets(tree: ast.AST) -> Iterator[ast.expr]:
    """All that is assigned to, added to or deleted."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.Delete):
            found = node.targets
        elif isinstance(node, ast.AugAssign | ast.AnnAssign | ast.For):
            found = [node.target]
        else:
            continue
        for target in found:
            yield from (each for each in ast.walk(target) if isinstance(each, ast.Attribute | ast.Subscript))


def writes(source: str) -> list[str]:
    """The attributes of something other than `self` that `source` sets."""
    return [
        ast.unparse(target)
        for target in targets(ast.parse(source))
        if isinstance(target, ast.Attribute)
        and isinstance(target.ctx, ast.Store | ast.Del)
        and not (isinstance(target.value, ast.Name) and target.value.id == "self")
    ]


def of_cache(*, counts: bool, names: tuple[str, ...] = ()) -> list[str]:
    """The writes in the modules of the cache, or in those of them; either those to counters or all others."""
    found = [each for path in MODULES if not names or path.stem in names for each in writes(path.read_text())]
    return [each for each in found if each.startswith(_COUNTERS) is counts]


def names_of(source: str) -> set[str]:
    """The attributes that `source` reads or writes."""
    return {node.attr for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute)}


def test_nobody_writes_into_the_fields_of_another() -> None:
    """Who wants something of an object asks it."""
    assert len(of_cache(counts=False)) <= MOST_WRITES
    assert set(of_cache(counts=False, names=("engine", "origin_response"))) == WRITES_OF_THE_CENTRE
    assert len(of_cache(counts=True, names=("engine", "origin_response"))) <= MOST_COUNTS


def test_a_write_would_be_found() -> None:
    """In all its forms."""
    source = "a.b = 1\na.b, c = 1, 2\na.b += 1\ndel a.b\nself.d.b: int = 1\nself.b = c = 1\nself.b[a.c] = 1"
    assert writes(source) == ["a.b", "a.b", "a.b", "a.b", "self.d.b"]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_the_flights_that_can_be_joined_are_changed_in_one_place(path: Path) -> None:
    """All others use the methods of `Flights`, whose names say why."""
    assert ("_joinable" in names_of(path.read_text())) is (path.stem == "flights")


def test_the_answer_of_the_origin_does_not_know_the_engine() -> None:
    """Not even its type: what it asks of it is a protocol of its own."""
    tree = ast.parse((CACHE / "origin_response.py").read_text())
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert "flights" in modules
    assert "engine" not in modules
