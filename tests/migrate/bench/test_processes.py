"""What /proc says of cores: what is at work here, and what the host takes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from penstock.migrate.bench import processes
from penstock.migrate.bench.processes import CoreSeconds, core_seconds

STAT = """cpu  30 0 30 900 0 0 0 40 0 0
cpu0 10 5 10 450 7 2 3 15 0 0
cpu1 20 0 20 450 0 0 0 25 0 0
cpu10 999 999 999 999 999 999 999 999 0 0
intr 1
"""


@pytest.mark.parametrize(
    ("cores", "busy", "stolen"), [([0], 0.30, 0.15), ([1], 0.40, 0.25), ([0, 1], 0.70, 0.40), ([], 0.0, 0.0)]
)
def test_work_and_what_the_host_took_are_two_things(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cores: list[int], busy: float, stolen: float
) -> None:
    """Idle is neither, nor is waiting for a disk. A tick is a hundredth of a second."""
    (tmp_path / "stat").write_text(STAT)
    monkeypatch.setattr(processes, "_PROC", tmp_path)
    monkeypatch.setattr(os, "sysconf", lambda _name: 100)
    found = core_seconds(cores)
    assert found.busy == pytest.approx(busy)
    assert found.stolen == pytest.approx(stolen)


@pytest.mark.parametrize(
    ("busy", "stolen", "share"),
    [(0.4, 0.0, 0.0), (0.3, 0.1, 0.25), (0.0, 0.0, 0.0), (0.0, 0.01, 0.1), (0.0, 0.2, 1.0)],
)
def test_the_share_of_the_time_with_work(busy: float, stolen: float, share: float) -> None:
    """Of a core that had next to nothing to do, one tick is not all of its time."""
    before = CoreSeconds(10.0, 5.0)
    now = CoreSeconds(10.0 + busy, 5.0 + stolen)
    assert now.stolen_since(before, least=0.1) == pytest.approx(share)
