"""An API behind a token, and what is sent to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .guarded_api import COUNT, GuardedApi, guarded_api


@pytest.fixture
def api() -> Iterator[GuardedApi]:
    """One that runs for the test."""
    with guarded_api() as served:
        yield served


@pytest.fixture
def records(tmp_path: Path) -> Path:
    """COUNT records with an id."""
    path = tmp_path / "in.jsonl"
    path.write_text("".join(f'{{"id":{number}}}\n' for number in range(COUNT)))
    return path
