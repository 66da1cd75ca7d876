"""The figures, derived again from the scoreboard."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.errors import StorageError
from penstock.outbound.vectors.fields import NUMPY_CELL
from penstock.outbound.vectors.scoreboard import KIND_CODES, NO_ID, Scoreboard
from penstock.outbound.vectors.summary import Percentiles, summarise
from penstock.rules.census.finding import ANSWERED, Finding
from penstock.rules.census.wilson import wilson


def test_a_small_census(tmp_path: Path) -> None:
    """Every figure by hand."""
    with Scoreboard.open(tmp_path / "b", 10) as board:
        for index in range(5):
            board.put(index, 1.0, 1000 * (index + 1), index, Finding.SELF, 1, 200)
        board.put(5, 1.0, 6000, 99, Finding.TIE_DUP, 2, 200)
        board.put(6, 0.5, 7000, 1, Finding.WRONG, 1, 200)
        board.put(7, math.nan, 8000, NO_ID, Finding.EMPTY, 1, 200)
        board.put(8, math.nan, 30_000_000, KIND_CODES["timeout"], Finding.FAILED, 5, 0)
        board.commit()
        found = board.summary()
    assert found.total == 10
    assert found.answered == 8
    assert found.accuracy == 6 / 8
    assert found.accuracy_interval == wilson(6, 8)
    assert found.success_rate == 8 / 9
    assert found.success_interval == wilson(8, 9)
    assert found.findings[Finding.NOT_DONE] == 1
    assert found.by_kind == {"timeout": 1}
    assert found.by_status == {0: 1, 200: 8}
    assert found.attempts == 14
    assert found.mean_similarity == 6.5 / 7
    assert found.answered_latency == Percentiles(8, 0.004, 0.008, 0.008, 0.008)
    assert found.done_latency == Percentiles(9, 0.005, 30.0, 30.0, 30.0)
    first = found.worst[0]
    assert (first.position, first.similarity, first.finding, first.hit_position) == (6, 0.5, Finding.WRONG, 1)
    assert [worst.position for worst in found.worst] == [6, 0, 1, 2, 3, 4, 5]


def test_nothing_done(tmp_path: Path) -> None:
    """None where there is no figure, not 0 and not an exception."""
    with Scoreboard.open(tmp_path / "b", 10) as board:
        found = board.summary()
    assert (found.accuracy, found.success_rate, found.mean_similarity, found.worst) == (None, None, None, ())
    assert found.answered_latency == Percentiles(0, None, None, None, None)
    assert found.by_kind == {}


def _cells(count: int, seed: int) -> np.ndarray[tuple[int], np.dtype[np.void]]:
    chance = np.random.default_rng(seed)
    cells = np.zeros(count, NUMPY_CELL)
    cells["similarity"] = chance.choice(
        np.array([1.0, 0.9999999, 0.98, 0.5, -1.0, 1.0000002, np.nan, np.inf], np.float32), count
    )
    cells["latency_us"] = chance.choice([0, 1, 65_535, 65_536, 65_537, 10**6, 2**32 - 1], count) + 0
    cells["latency_us"][::3] = chance.lognormal(9, 2, len(cells[::3])).clip(0, 2**32 - 1).astype(np.uint32)
    cells["finding"] = chance.integers(0, len(Finding), count)
    cells["hit_id"] = np.where(cells["finding"] == Finding.FAILED, chance.integers(0, 20, count), NO_ID)
    cells["attempts"] = chance.integers(0, 256, count)
    cells["status"] = chance.choice([0, 200, 429, 65_535], count)
    return cells


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 3000), st.integers(1, 700), st.integers(0, 2**32))
def test_against_the_plain_way(count: int, block: int, seed: int) -> None:
    """Blocks of any size give what sorting everything in memory gives."""
    cells = _cells(count, seed)
    found = summarise(lambda: ((i, cells[i : i + block].tobytes()) for i in range(0, count, block)), count)
    answered = np.isin(cells["finding"], [int(f) for f in ANSWERED])
    for latency, mask in ((found.answered_latency, answered), (found.done_latency, cells["finding"] > 0)):
        values = np.sort(cells["latency_us"][mask])
        assert latency.count == len(values)
        for share, value in (
            (0.5, latency.p50),
            (0.95, latency.p95),
            (0.99, latency.p99),
            (1.0, latency.max),
        ):
            wanted = values[max(1, math.ceil(share * len(values))) - 1] / 1e6 if len(values) else None
            assert value == wanted
    usable = answered & np.isfinite(cells["similarity"])
    similarity = cells["similarity"][usable].astype(float)
    assert found.mean_similarity == (pytest.approx(similarity.mean()) if len(similarity) else None)
    order = np.lexsort((np.flatnonzero(usable), similarity))[:100]
    assert [worst.position for worst in found.worst] == np.flatnonzero(usable)[order].tolist()
    assert found.findings == {f: int((cells["finding"] == f).sum()) for f in Finding}
    assert sum(found.by_kind.values()) == found.findings[Finding.FAILED]
    assert sum(found.by_status.values()) == count - found.findings[Finding.NOT_DONE]
    assert found.attempts == int(cells["attempts"][cells["finding"] > 0].sum(dtype=np.int64))


def test_unknown_codes() -> None:
    """A kind from a later version counts as unknown; a finding from one is refused: it is the figure."""
    cells = np.zeros(2, NUMPY_CELL)
    cells["finding"] = Finding.FAILED
    cells["hit_id"] = [0, 2**32 - 1]
    assert summarise(lambda: [(0, cells.tobytes())], 2).by_kind == {"unknown": 2}
    cells["finding"] = 99
    with pytest.raises(StorageError, match="does not know"):
        summarise(lambda: [(0, cells.tobytes())], 2)
