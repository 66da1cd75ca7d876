"""The census of a vector server that nobody here wrote."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from penstock.testing import write_vectors

from .chroma import chroma_server, delete, make_collection

COUNT, DIM = 3000, 64
GONE = [7, 700, 1999, 2500]

pytestmark = pytest.mark.service


def _check(vectors: Path, root: str, collection: str, out: Path) -> tuple[int, dict[str, Any]]:
    command = [sys.executable, "-c", "from penstock.cli.main import main; main()", "check", str(vectors)]
    command += ["--dim", str(DIM), "--url", root, "--preset", "chroma", "--collection", collection]
    command += ["--out", str(out), "--in-flight", "8", "--json", "--quiet"]
    done = subprocess.run(command, capture_output=True, timeout=300, check=False)
    assert done.returncode in (0, 1), done.stderr.decode()
    return done.returncode, orjson.loads(done.stdout)


def test_a_census_of_chroma_finds_what_is_there_and_what_is_gone(tmp_path: Path) -> None:
    """Every stored vector is found by its id; after four are deleted, those four are not, and no others."""
    path = tmp_path / "vectors.bin"
    write_vectors(path, COUNT, DIM, 11)
    vectors = np.fromfile(path, np.float32).reshape(COUNT, DIM)
    with chroma_server(tmp_path / "data") as root:
        collection = make_collection(root, vectors)
        code, whole = _check(path, root, collection, tmp_path / "whole")
        delete(root, collection, GONE)
        later_code, later = _check(path, root, collection, tmp_path / "later")

    # HNSW is approximate by design: a miss of rank is not a lost vector, and the second look must tell.
    assert whole["items"] == COUNT
    assert whole["failed"] == 0
    assert whole["success_rate"] == 1.0
    missed = _positions(tmp_path / "whole")
    assert len(missed) <= COUNT // 100
    assert code == (1 if missed else 0)

    assert later_code == 1
    assert _positions(tmp_path / "later") >= set(GONE)
    assert len(_positions(tmp_path / "later") - set(GONE)) <= COUNT // 100
    assert later["second_look"]["unreachable"] >= len(GONE)


def _positions(out: Path) -> set[int]:
    return {orjson.loads(line)["position"] for line in (out / "findings.jsonl").read_bytes().splitlines()}
