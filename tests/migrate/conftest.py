"""Each test has a process of its own, as far as arms go: no routes, no counts, a state file that is not there."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.migrate import choice, table
from penstock.migrate.tally import Tallies
from penstock.migrate.watch import WATCH
from penstock.rules.moving.state import ArmsState

FRAMEWORKS = (
    "anyio.to_thread",
    "django.core.exceptions",
    "django.http",
    "fastapi",
    "flask",
    "starlette.exceptions",
    "starlette.requests",
    "werkzeug.exceptions",
)


@pytest.fixture(autouse=True)
def state_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the state would be."""
    path = tmp_path / "arms.json"
    monkeypatch.setenv("PENSTOCK_ARMS", str(path))
    monkeypatch.delenv("PENSTOCK_ARM", raising=False)
    monkeypatch.setattr(table, "ROUTES", {})
    monkeypatch.setattr(table, "TALLIES", Tallies())
    for name in FRAMEWORKS:
        # What other tests have imported says nothing here.
        monkeypatch.delitem(sys.modules, name, raising=False)
    choice.read_anew()
    yield path
    WATCH.stop()
    WATCH.state, WATCH.problem, WATCH.on_tick = ArmsState(), None, []
    choice.read_anew()
