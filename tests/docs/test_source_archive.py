"""Whoever has only the source archive can run the tests and follow the links."""

from __future__ import annotations

import re
import tomllib

from .pages import PAGES, ROOT


def test_the_source_archive_has_what_its_tests_need() -> None:
    """Scripts and CONTRIBUTING.md were not in it: its own tests failed on a link and on a script."""
    tests = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("*.py"))
    needed = set(re.findall(r'\bROOT / "([^"/*]+)', tests))
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:)([^)#\s]+)", page.read_text()):
            needed.add((page.parent / target).resolve().relative_to(ROOT).parts[0])
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["sdist"]
    assert {"CONTRIBUTING.md", "scripts", "src"} <= needed
    # pyproject.toml is always there.
    assert not needed - {"pyproject.toml", *settings["include"]}
