"""An arm turns bad in real workers under load, and they take it back with nobody's help."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from benchmarks.move_back_load import trial

pytestmark = [pytest.mark.service, pytest.mark.real]
MOST_SECONDS = 5.0
"""The figure is made by `python -m benchmarks move_back`, on a machine with nothing else to do: at most 2."""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["fails", "raises", "sleeps", "blocks", "never returns"])
def test_an_arm_that_turns_bad_is_taken_back(tmp_path: Path, kind: str) -> None:
    """The command that gave it its share has ended."""
    pytest.importorskip("uvicorn", reason="uvicorn is not installed: make test-real does that")
    found = asyncio.run(trial(tmp_path, kind, share="50%", workers=2))
    assert found.seconds is not None, found
    assert found.seconds < MOST_SECONDS, found
    assert found.reason.partition(":")[0] in ("errors", "p99", "blocked", "shed")
