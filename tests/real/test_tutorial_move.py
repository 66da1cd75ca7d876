"""docs/tutorial_move.md does what it says: service, arms, tests, measurements, roll-out, and the way back."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs.pages import ROOT, Step, matches, run_page

PAGE = ROOT / "docs" / "tutorial_move.md"
OTHERWISE = {
    "<!-- real": "<!-- run",
    # What a bench measures is not looked at here, only that it runs and knows the arms.
    "--max-time 90s": "--max-time 8s",
    # New code is there when two processes have started, on whatever machine.
    "$ sleep 10": "$ sleep 30",
    # pytest-asyncio asks for a setting, and the entry point is there only in a fresh installation.
    "python -m pytest ": "python -m pytest -p no:asyncio -p no:penstock -p penstock.migrate.pytest_plugin ",
}


@pytest.mark.real
@pytest.mark.service
@pytest.mark.slow
def test_the_tutorial(tmp_path: Path) -> None:
    """From the service as it was to the arm that was taken back."""
    for needed in ("fastapi", "httpx2", "requests", "uvicorn"):
        pytest.importorskip(needed)
    text = PAGE.read_text()
    for words, others in OTHERWISE.items():
        assert words in text
        text = text.replace(words, others)
    seen = run_page(text, tmp_path, seconds=600)
    for step, printed in seen:
        where = f"{step.line}: {step.command.splitlines()[0]}"
        assert step.expected is not None, where
        assert matches(step.expected, printed), f"{where}\nexpected:\n{step.expected}\n\nprinted:\n{printed}"
    [(_, printed)] = benches(seen)
    assert all(row in printed for row in ("CPU a request", "control, new client", "async")), printed


def benches(seen: list[tuple[Step, str]]) -> list[tuple[Step, str]]:
    """The measurements among the steps."""
    return [each for each in seen if " move bench " in each[0].command]
