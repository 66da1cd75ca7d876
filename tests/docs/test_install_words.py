"""No text tells anybody to install `penstock`: in package indexes that is the package of somebody else."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from penstock.cli.main import penstock as group

from .pages import PAGES, ROOT

TEXTS = sorted(
    [
        *PAGES,
        *(ROOT / "benchmarks").rglob("*.md"),
        *(ROOT / "scripts").iterdir(),
        *(ROOT / "examples").rglob("*.py"),
        *(ROOT / "benchmarks").rglob("*.py"),
        *(ROOT / "src").rglob("*.py"),
        *(ROOT / name for name in ("Makefile", "pyproject.toml", ".ci/run")),
    ]
)

_TOOL = r"\b(?:(?:pip[x3]?|uv|conda|poetry|pdm)\s+(?:[\w-]+\s+){0,2}?(?:install|add|run|download)|uvx)\b"
_COMMAND = re.compile(rf"{_TOOL}(?P<arguments>[^`|;&)#\n]*)")
_OTHERS = re.compile(r"(?<![\w./-])penstock(?![\w/.-])")
_EXTRA = re.compile(r"(?<!\w)penstock\[[^\]]*\]")
_INDEX = re.compile(r"\bPyPI\b|\bpypi\.org|\bpackage\s+(?:index(?:es)?|registr(?:y|ies))\b", re.IGNORECASE)

# Every sentence that may name an index.
SAID_OF_AN_INDEX = {
    "README.md": ["it is in no package index yet, and what is called `penstock` there is another project."],
    "CONTRIBUTING.md": [
        "import and command are `penstock`, which in a package index is another project's.",
        "Nothing has been uploaded to a package index yet.",
    ],
}


def wrong_in(text: str) -> list[str]:
    """What in `text` would bring somebody else's package."""
    # A span of code may go over the end of a line; a line of a block ends where it ends.
    spans = [" ".join(span.split()) for span in re.findall(r"(?<!`)`([^`]+)`(?!`)", text)]
    commands = [match for part in (text, *spans) for match in _COMMAND.finditer(part)]
    wrong = [match[0] for match in commands if _OTHERS.search(match["arguments"])]
    return wrong + _EXTRA.findall(text)


@pytest.mark.parametrize(
    "text",
    [
        "pip install penstock",
        "You need `pip install penstock`.",
        "as\n`pip install\npenstock`",
        "python3 -m pip install -U 'penstock'",
        "pip install --upgrade penstock>=0.1",
        "pip install 'penstock[vectors]' && penstock demo",
        "uv pip install penstock",
        "uv add penstock",
        "uv tool install penstock",
        "uvx penstock demo",
        "pipx run penstock",
        "pip install numpy penstock",
        "needs penstock[aiohttp]",
    ],
)
def test_what_is_wrong_is_seen(text: str) -> None:
    """Or the tests below could not fail."""
    assert wrong_in(text)


@pytest.mark.parametrize(
    "text",
    [
        "pip install 'penstock-http[vectors]'",
        "pip install .; penstock demo",
        "pip install .\npenstock demo",
        "`pip install .`, then `penstock demo`",
        "pip install -e . && penstock demo",
        "pip install ~/src/penstock",
        "pip install .  # and penstock is there",
        "pip uninstall penstock",
    ],
)
def test_what_is_right_is_let_be(text: str) -> None:
    """Paths, clones, the other name, and the command."""
    assert not wrong_in(text)


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_tells_to_install_what_is_not_ours(path: Path) -> None:
    """Docs, scripts, examples, and the sources with every message in them."""
    assert not wrong_in(path.read_text())


def test_no_help_tells_it_either() -> None:
    """As it is shown. The extras that it names are there; `penstock-http[aiohttp]` would be broken at its hyphen."""
    texts = [" ".join(text.split()) for text in helps(group, [])]
    assert len(texts) > len(group.commands)
    assert not [wrong for text in texts for wrong in wrong_in(text)]
    named = {extra for text in texts for extra in re.findall(r"needs the extra '(\w+)'", text)}
    assert named == {"aiohttp", "prometheus", "report"}
    assert named <= set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])
    assert not [text for text in texts if "penstock-" in text]


def helps(command: click.Command, path: list[str]) -> Iterator[str]:
    """The help of a command and of those below it."""
    yield command.get_help(click.Context(command, info_name=" ".join(path)))
    for name, below in getattr(command, "commands", {}).items():
        yield from helps(below, [*path, name])


@pytest.mark.parametrize("path", [*PAGES, *(ROOT / "src").rglob("*.py")], ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_says_that_a_release_is_in_an_index(path: Path) -> None:
    """There is none; this test goes when there is one."""
    text = path.read_text()
    if path.suffix == ".py":
        text = "\n".join(
            node.value
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        )
    text = " ".join(text.split())
    for known in SAID_OF_AN_INDEX.get(str(path.relative_to(ROOT)), []):
        assert known in text
        text = text.replace(known, "")
    assert not _INDEX.search(text)
