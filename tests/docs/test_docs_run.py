"""What README and docs tell the reader to run does what they say it does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import penstock

from .pages import PAGES, ROOT, matches, run_page, steps

RUNNABLE = [page for page in PAGES if any(steps(page.read_text()))]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize("page", RUNNABLE, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_does_what_it_says(page: Path, tmp_path: Path) -> None:
    """Every runnable block runs, and every console block prints what stands below its commands."""
    for step, printed in run_page(page.read_text(), tmp_path):
        where = f"{page.relative_to(ROOT)}:{step.line}: {step.command.strip().splitlines()[0]}"
        if step.expected is not None and (step.expected or "...exit code" in step.command):
            assert matches(step.expected, printed), f"{where}\nexpected:\n{step.expected}\n\nprinted:\n{printed}"
        else:
            assert "Traceback" not in printed, f"{where}\nprinted:\n{printed}"


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "docs/tutorial.md",
        "docs/tutorial_pull.md",
        "docs/tutorial_cache.md",
        "docs/howto/send.md",
        "docs/howto/pull.md",
        "docs/howto/check.md",
        "docs/howto/report.md",
        "docs/howto/explain.md",
        "docs/howto/django.md",
        "docs/howto/http_client.md",
        "docs/howto/move_flask.md",
    ],
)
def test_the_pages_that_matter_are_run(page: str) -> None:
    """A mark that is misspelt would silently run nothing."""
    assert ROOT / page in RUNNABLE


@pytest.mark.parametrize(
    ("expected", "printed", "fits"),
    [
        ("a ... c", "a b c", True),
        ("a ... c", "a c", True),
        ("a", "a b", False),
        ("3 ok, ... ms", "3 ok, 2.0 ms", True),
        ("3 ok", "13 ok", False),
        ("...\nlast", "first\nlast\n", True),
    ],
)
def test_dots_stand_for_anything(expected: str, printed: str, fits: bool) -> None:
    """The judge of all these pages."""
    assert matches(expected, printed) is fits


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_an_example_runs(example: Path, tmp_path: Path) -> None:
    """Every file in examples/ runs without arguments and without a network, and says something."""
    environment = {**os.environ, "PYTHONPATH": str(Path(penstock.__file__).parent.parent)}
    done = subprocess.run(
        [sys.executable, "-W", "error", str(example)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert not done.stderr
