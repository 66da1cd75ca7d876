"""What users can reach is what is meant for them, and the rules that keep the code testable hold."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import penstock
from penstock import errors

PACKAGE = Path(penstock.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
RULES = sorted((PACKAGE / "rules").glob("*.py"))
PURE = {
    *("__future__", "abc", "array", "bisect", "collections", "dataclasses", "datetime", "email", "enum", "functools"),
    *("itertools", "json", "math", "re", "struct", "typing", "urllib"),
}


def test_all_is_sorted_and_resolvable() -> None:
    """Every public name is there, once, in order, and nothing else of our own is reachable but modules."""
    assert penstock.__all__ == sorted(set(penstock.__all__))
    for name in penstock.__all__:
        assert getattr(penstock, name) is not None
    reachable = {name for name, value in vars(penstock).items() if not name.startswith("_")}
    modules = {name for name in reachable if type(getattr(penstock, name)) is type(penstock)}
    assert reachable - modules == set(penstock.__all__) - {"__version__"}


def test_the_first_line_of_the_package_is_its_idea() -> None:
    """Whoever opens the package reads what a Call is."""
    assert penstock.__doc__ is not None
    assert "async def call(request) -> response" in penstock.__doc__.splitlines()[0]


def _drawn() -> dict[str, str | None]:
    """Name -> name of its parent, as drawn at the top of errors.py."""
    assert errors.__doc__ is not None
    parents: list[tuple[int, str]] = []
    found: dict[str, str | None] = {}
    for line in errors.__doc__.splitlines():
        match = re.match(r"^(    [│ ]*(?:[├└]── )?)([A-Z]\w+)(?:\s|$)", line)
        if match is None:
            continue
        depth, name = len(match[1]), match[2]
        while parents and parents[-1][0] >= depth:
            parents.pop()
        found[name] = parents[-1][1] if parents else None
        parents.append((depth, name))
    return found


def test_the_tree_of_errors_is_drawn_as_it_is() -> None:
    """The drawing at the top of errors.py names every exception under its real parent, and no other."""
    classes = {
        name: value
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, BaseException)
    }
    real = {
        name: next((base.__name__ for base in value.__bases__ if base.__name__ in classes), None)
        for name, value in classes.items()
    }
    assert _drawn() == real


def test_every_error_is_public_and_says_what_it_is() -> None:
    """Users catch errors, so each is exported and has a docstring of its own."""
    for name in _drawn():
        assert name in penstock.__all__
        assert getattr(errors, name).__doc__


def _imports(path: Path) -> Iterator[tuple[str, int]]:
    """(first part of the module, level of a relative import)."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((name.name.partition(".")[0], 0) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").partition(".")[0], node.level


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.name)
def test_rules_are_pure(path: Path) -> None:
    """A rule imports other rules, errors and messages, and of the library only what neither waits nor looks around."""
    for module, level in _imports(path):
        if level == 0:
            assert module in PURE, module
        elif level == 2:
            assert module in {"errors", "messages"}, module
    for node in ast.walk(ast.parse(path.read_text())):
        assert not isinstance(node, ast.Await | ast.AsyncFunctionDef), f"{path.name}:{node.lineno} awaits"


def _dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_the_clock_reads_time_or_makes_tasks_sleep(path: Path) -> None:
    """Everything else is given a clock; `asyncio.wait_for`, which can swallow a cancellation, is nowhere."""
    free = path.name == "clock.py" or path.is_relative_to(PACKAGE / "testing")
    forbidden = {"asyncio.wait_for"}
    if not free:
        forbidden |= {"time.time", "time.monotonic", "time.time_ns", "time.monotonic_ns", "asyncio.sleep"}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute):
            assert _dotted(node) not in forbidden, f"line {node.lineno} uses {_dotted(node)}"
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            for name in node.names:
                assert f"{node.module}.{name.name}" not in forbidden, f"line {node.lineno} imports {name.name}"
