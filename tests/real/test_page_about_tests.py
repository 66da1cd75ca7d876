"""What docs/howto/move_tests.md shows is what happens: its app, its tests, and what pytest prints."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs.pages import ROOT, matches, run_page

PAGE = ROOT / "docs" / "howto" / "move_tests.md"
PLUGINS = "-p no:penstock -p penstock.migrate.pytest_plugin -o asyncio_default_fixture_loop_scope=function"


@pytest.mark.real
@pytest.mark.service
@pytest.mark.slow
def test_the_page_does_what_it_says(tmp_path: Path) -> None:
    """All of its programs, in order, in one folder."""
    for package in ("fastapi", "httpx", "pytest_asyncio", "requests"):
        pytest.importorskip(package)
    text = PAGE.read_text().replace("<!-- real", "<!-- run").replace("$ pytest ", f"$ python -m pytest {PLUGINS} ")
    text = text.replace("=== ", "...=== ").replace(" ===\n", " ===...\n")
    ran = run_page(text, tmp_path)
    assert len([step for step, _ in ran if step.expected]) >= 5
    for step, printed in ran:
        assert step.expected is None or matches(step.expected, printed), f"{PAGE.name}:{step.line}\n{printed}"
