"""The run folder: one process at a time, and nothing is left of a run that did not begin."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from penstock import RunLocked
from penstock.runs.run_folder import RunFolder


def test_a_folder_in_which_nothing_was_begun_goes_again(tmp_path: Path) -> None:
    """A wrong option leaves nothing beside the user's files; what was begun stays."""
    path = tmp_path / "out.run"
    with RunFolder.open(path):
        assert (path / "lock").exists()
    assert not path.exists()
    with RunFolder.open(path):
        (path / "journal").write_bytes(b"")
    assert sorted(entry.name for entry in path.iterdir()) == ["journal", "lock"]


def test_two_at_once_are_refused_also_when_the_first_tidies_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who had the lock's file open when it was removed must not think that the folder is his."""
    path = tmp_path / "out.run"
    first = RunFolder.open(path)
    with pytest.raises(RunLocked):
        RunFolder.open(path)
    locked = fcntl.flock

    def late(fd: int, operation: int) -> None:
        first.close()
        locked(fd, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    second = RunFolder.open(path)
    monkeypatch.undo()
    assert os.fstat(second._lock_fd).st_nlink == 1
    with pytest.raises(RunLocked):
        RunFolder.open(path)
    second.close()
