"""Duplicates: all of them, and nothing else."""

import os
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.errors import StorageError
from penstock.outbound.vectors import duplicates
from penstock.outbound.vectors.duplicates import Duplicates, equal_rows, find_duplicates, hash_rows
from penstock.outbound.vectors.formats import open_vectors
from penstock.outbound.vectors.source import VectorSource

Vectors = np.ndarray[Any, Any]


def _source(path: Path, data: Vectors) -> VectorSource:
    path.write_bytes(data.tobytes())
    return open_vectors(path, dim=data.shape[1], dtype=str(data.dtype), format="raw")


def _groups(found: Duplicates) -> list[list[int]]:
    return sorted(list(group) for group in found)


def _plain(data: Vectors) -> list[list[int]]:
    rows: defaultdict[bytes, list[int]] = defaultdict(list)
    for index, row in enumerate(data):
        rows[row.tobytes()].append(index)
    return sorted(group for group in rows.values() if len(group) > 1)


@pytest.mark.parametrize(("dtype", "dim"), [("float32", 8), ("float32", 3), ("uint8", 5), ("uint8", 16), ("int8", 1)])
def test_planted(tmp_path: Path, dtype: str, dim: int) -> None:
    """Pairs, a triple and a copy at the end, for rows of any width."""
    data = (np.random.default_rng(4).standard_normal((3000, dim)) * 1000).astype(np.float32).view(np.uint8)
    data = data.view(dtype)[:, :dim].copy() if dtype != "float32" else data.view(np.float32)
    data[100] = data[7]
    data[2999] = data[0]
    data[[50, 1500]] = data[2000]
    with _source(tmp_path / "v", data) as source:
        found = find_duplicates(source, tmp_path / "work")
        wanted = _plain(data)
        assert _groups(found) == wanted
        assert _groups(found) == wanted, "can be gone through again"
        assert (found.groups, found.rows) == (len(wanted), sum(map(len, wanted)))
        assert equal_rows(source, 100, 7)
        assert equal_rows(source, 5, 5)
        assert not equal_rows(source, 0, 2999 - 1) or data[0].tobytes() == data[2998].tobytes()
    assert os.listdir(tmp_path / "work") == ["duplicates.u32"]


def test_none(tmp_path: Path) -> None:
    """No duplicates is an empty list."""
    with _source(tmp_path / "v", np.arange(400, dtype=np.float32).reshape(100, 4)) as source:
        found = find_duplicates(source, tmp_path / "work")
    assert (found.groups, found.rows, list(found)) == (0, 0, [])


def test_all_the_same(tmp_path: Path) -> None:
    """One group of everything."""
    with _source(tmp_path / "v", np.zeros((5000, 4), np.float32)) as source:
        assert _groups(find_duplicates(source, tmp_path / "work")) == [list(range(5000))]


def test_bytes_decide(tmp_path: Path) -> None:
    """0.0 and -0.0 are equal numbers and different bytes; equal NaN are equal bytes."""
    data = np.array([[0.0], [-0.0], [np.nan], [np.nan]], np.float32)
    with _source(tmp_path / "v", data) as source:
        assert _groups(find_duplicates(source, tmp_path / "work")) == [[2, 3]]
        assert not equal_rows(source, 0, 1)
        assert equal_rows(source, 2, 3)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_table(tmp_path: Path, data: st.DataObject) -> None:
    """Against a dictionary in memory."""
    count, dim = data.draw(st.integers(1, 300)), data.draw(st.integers(1, 4))
    kinds = data.draw(st.integers(1, 4))
    seed = data.draw(st.integers(0, 2**32))
    table = np.random.default_rng(seed).integers(0, kinds, (count, dim)).astype(np.float32)
    with _source(tmp_path / "v", table) as source:
        assert _groups(find_duplicates(source, tmp_path / "work")) == _plain(table)


def test_steps_of_any_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many small portions give the same as one: in the first pass, in the buckets and in the comparison."""
    table = np.random.default_rng(1).integers(0, 40, (5000, 2)).astype(np.float32)
    monkeypatch.setattr(duplicates, "_HELD_KEYS", 700)
    monkeypatch.setattr(duplicates, "_BLOCK_BYTES", 1000)
    monkeypatch.setattr(duplicates, "_CANDIDATES", 64)
    with _source(tmp_path / "v", table) as source:
        assert _groups(find_duplicates(source, tmp_path / "work")) == _plain(table)


def test_colliding_hashes_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a hash that is the same for every vector, the comparison alone decides."""
    table = np.random.default_rng(1).integers(0, 10, (500, 2)).astype(np.float32)
    monkeypatch.setattr(duplicates, "hash_rows", lambda block: np.full(len(block), 2**63, np.uint64))
    with _source(tmp_path / "v", table) as source:
        assert _groups(find_duplicates(source, tmp_path / "work")) == _plain(table)


def test_hashes_spread() -> None:
    """Rows that differ in one bit differ in their hash, and the buckets fill evenly."""
    rows = np.arange(100_000, dtype=np.uint32).view(np.float32).reshape(-1, 1)
    hashes = hash_rows(rows)
    assert len(np.unique(hashes >> np.uint64(24))) >= 99_990
    filled = np.bincount((hashes >> np.uint64(56)).astype(int), minlength=256)
    assert filled.min() > 200
    assert filled.max() < 600


def test_left_overs_of_a_killed_run(tmp_path: Path) -> None:
    """Bucket files from before are not mixed in."""
    work = tmp_path / "work"
    work.mkdir()
    (work / "bucket-00").write_bytes(bytes(160))
    with _source(tmp_path / "v", np.arange(400, dtype=np.float32).reshape(100, 4)) as source:
        assert find_duplicates(source, work).groups == 0


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """Says so."""
    (tmp_path / "file").touch()
    with (
        _source(tmp_path / "v", np.zeros((4, 4), np.float32)) as source,
        pytest.raises(StorageError, match="duplicates"),
    ):
        find_duplicates(source, tmp_path / "file")
