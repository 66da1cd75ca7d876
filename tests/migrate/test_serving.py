"""What a process that serves arms keeps on the disk: nothing, before somebody has asked for arms to move."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from penstock.migrate import choice
from penstock.migrate.metrics import MoveCollector
from penstock.migrate.serving import Serving
from penstock.migrate.watch import WATCH
from penstock.rules.moving.state import ArmsState


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a process that nobody has told of a state file."""
    monkeypatch.delenv("PENSTOCK_ARMS")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(WATCH, "path", tmp_path / "arms.json")
    for name, value in {"state": ArmsState(), "started": False, "on_tick": [], "_seen": None}.items():
        monkeypatch.setattr(WATCH, name, value)
    monkeypatch.setattr(WATCH, "_begin_thread", lambda: None)
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


def test_who_is_scraped_keeps_its_counts_where_other_workers_read_them(folder: Path) -> None:
    """Else each scrape would tell those of one worker, now of this one and now of that."""
    scraped, other = Serving(), Serving()
    assert ticked(other, 1.0) == []
    scraped.source()
    assert ticked(scraped, 2.0) == ["arms.json.workers"]
    ticked(other, 3.0)
    assert len(list((folder / "arms.json.workers").iterdir())) == 2
    scraped.close()
    other.close()


def test_who_is_scraped_knows_the_state_before_its_first_request(folder: Path) -> None:
    (folder / "arms.json").write_text('{"version": 1, "routes": {"GET /a": {"arm": "async", "share": 0.25}}}')
    assert Serving().source().state().routes["GET /a"].share == 0.25


def test_a_registry_that_is_told_of_the_collector_scrapes_nothing(folder: Path) -> None:
    """It is done at import, in the parent of the workers too, and in every test of the app."""
    serving, registry = Serving(), CollectorRegistry(auto_describe=True)
    collector = MoveCollector(serving.source)
    registry.register(collector)
    assert not WATCH.started
    assert ticked(serving, 1.0) == []
    names = {family.name for family in collector.describe()}
    assert names == {family.name for family in collector.collect()}
    assert WATCH.started
