"""What a process that serves arms keeps on the disk: nothing, before somebody has asked for arms to move."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.migrate import choice
from penstock.migrate.serving import Serving
from penstock.migrate.watch import WATCH


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a process that nobody has told of a state file."""
    monkeypatch.delenv("PENSTOCK_ARMS")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(WATCH, "path", tmp_path / "arms.json")
    return tmp_path


def ticked(serving: Serving, now: float) -> list[str]:
    """What is in the folder after a look."""
    serving.tick(now)
    return sorted(path.name for path in WATCH.path.parent.iterdir()) if WATCH.path else []


def test_where_nobody_moves_anything_no_file_is_made(folder: Path) -> None:
    serving = Serving()
    assert ticked(serving, 1.0) == []
    (folder / "arms.json").write_text('{"version": 1, "routes": {}}')
    assert ticked(serving, 2.0) == ["arms.json", "arms.json.workers"]
    serving.close()


def test_where_a_state_file_is_named_workers_are_seen_before_the_first_share(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PENSTOCK_ARMS", str(folder / "arms.json"))
    serving = Serving()
    assert ticked(serving, 1.0) == ["arms.json.workers"]
    serving.close()


def test_where_an_arm_is_forced_for_the_process_it_is_a_test_or_a_bench(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PENSTOCK_ARMS", str(folder / "arms.json"))
    monkeypatch.setenv("PENSTOCK_ARM", "control")
    choice.read_anew()
    assert ticked(Serving(), 1.0) == []
