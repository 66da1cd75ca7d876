"""A dotted name such as `penstock.errors.UsageError`, wherever it is written for people, leads to what it says."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from .pages import PAGES, ROOT

# Where something stands before it, as in `/tmp/penstock.sock` or `my-penstock.log`, it is another thing.
_DOTTED = re.compile(r"(?<![\w/.:@-])penstock(?:\.[A-Za-z_]\w*)+")
_LOGGERS = {"penstock.cache", "penstock.move"}
# The changelog tells of names as they were.
TEXTS = [page for page in PAGES if page.name != "CHANGELOG.md"]
SOURCES = sorted(
    path for folder in ("src", "benchmarks", "examples", "scripts") for path in (ROOT / folder).rglob("*.py")
)


def docstrings(path: Path) -> Iterator[str]:
    """Of the module, its classes and functions, and the strings below attributes."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.value.value


def leads_somewhere(name: str) -> bool:
    """Whether it is a module, or what can be had of one by its attributes."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            value: object = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            if not hasattr(value, part):
                return False
            value = getattr(value, part)
        return True
    return False


def names_in(path: Path) -> set[str]:
    """All dotted names of the package in a page, or in the docstrings of a source file."""
    text = path.read_text() if path.suffix == ".md" else "\n".join(docstrings(path))
    return set(_DOTTED.findall(text)) - _LOGGERS


def test_what_leads_nowhere_is_seen() -> None:
    """The test could fail: for a module, a class or a method that is not there."""
    assert leads_somewhere("penstock.rules.caching.freshness.Freshness")
    for wrong in ("penstock.rules.freshness.Freshness", "penstock.errors.NoError", "penstock.RateLimiter.no_method"):
        assert not leads_somewhere(wrong)


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_names_in_pages_lead_somewhere(path: Path) -> None:
    """Who follows a page finds what it names."""
    assert [name for name in sorted(names_in(path)) if not leads_somewhere(name)] == []


def test_names_in_docstrings_lead_somewhere() -> None:
    """A module that is moved takes its name along, in benchmarks and examples too."""
    wrong = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in SOURCES
        for name in sorted(names_in(path))
        if not leads_somewhere(name)
    ]
    assert wrong == []
