"""The oracle finds every vector, and every planted corruption is what a census of it must find."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from numpy.typing import NDArray

from penstock.rules.census.finding import Finding, judge
from penstock.rules.census.score_map import Calibration, infer_score_map
from penstock.testing import PLANTS, SHAPES, Oracle, SearchShape, write_vectors
from penstock.testing.vector_index import VectorIndex

N, DIM = 3_000, 16


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("oracle") / "vectors.bin"
    write_vectors(path, N, DIM, seed=5)
    return path


@pytest.fixture(scope="module")
def vectors(path: Path) -> NDArray[np.float32]:
    return np.fromfile(path, dtype=np.float32).reshape(N, DIM)


def body(vector: Any, top_k: int = 1) -> bytes:
    return orjson.dumps({"vector": vector, "top_k": top_k}, option=orjson.OPT_SERIALIZE_NUMPY)


def test_written_vectors_are_normalised_and_repeatable(
    path: Path, vectors: NDArray[np.float32], tmp_path: Path
) -> None:
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert len({row.tobytes() for row in vectors}) == N
    write_vectors(tmp_path / "again", N, DIM, seed=5)
    assert (tmp_path / "again").read_bytes() == path.read_bytes()
    write_vectors(tmp_path / "other", N, DIM, seed=6)
    assert (tmp_path / "other").read_bytes() != path.read_bytes()


def test_clustered_vectors_have_near_neighbours(tmp_path: Path) -> None:
    near = {}
    for clustered in (False, True):
        write_vectors(tmp_path / "v", 4_000, 64, clustered=clustered)
        rows = np.fromfile(tmp_path / "v", dtype=np.float32).reshape(-1, 64)
        cosines = rows @ rows[:200].T
        cosines[np.arange(200), np.arange(200)] = 0
        near[clustered] = float(np.median(cosines.max(axis=0)))
    assert near[True] > 0.8 > near[False]


def test_every_vector_is_found_as_text_and_as_float64(path: Path, vectors: NDArray[np.float32]) -> None:
    oracle = Oracle(path, dim=DIM)
    for row, vector in enumerate(vectors):
        assert orjson.loads(oracle(body(vector))) == {"similarity": 1.0, "id": row}
    assert orjson.loads(oracle(body(vectors[7].tolist())))["id"] == 7


def test_a_vector_that_was_never_stored_is_not_found(path: Path, vectors: NDArray[np.float32]) -> None:
    oracle = Oracle(path, dim=DIM)
    changed = vectors[3].copy()
    changed[0] = np.nextafter(changed[0], np.float32(2))
    assert orjson.loads(oracle(body(changed)))["similarity"] == 0.83


def test_equal_vectors_are_found_as_the_first(path: Path, tmp_path: Path) -> None:
    data = path.read_bytes()
    width = 4 * DIM
    copied = tmp_path / "copied"
    copied.write_bytes(data + data[5 * width : 6 * width] + data[:width])
    index = VectorIndex(copied, DIM)
    assert index.find(data[5 * width : 6 * width]) == 5
    assert index.find(data[:width]) == 0
    assert index.n == N + 2


@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_small_files(tmp_path: Path, n: int) -> None:
    path = tmp_path / "v"
    write_vectors(path, n, 2)
    index = VectorIndex(path, 2)
    data = path.read_bytes()
    assert [index.find(data[8 * row : 8 * row + 8]) for row in range(n)] == list(range(n))
    assert index.find(b"12345678") is None


def test_hashes_that_agree_in_all_kept_bits_of_the_key_are_told_apart(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The upper bits alone would confuse two vectors; a hash with few of them makes that certain."""
    import penstock.testing.vector_index as module

    def poor(data: bytes) -> int:
        return int.from_bytes(hashlib.sha256(data).digest()[:4], "little") & 0x3FF_FFFF

    monkeypatch.setattr(module, "hash", poor, raising=False)
    index = VectorIndex(path, DIM)
    data = path.read_bytes()
    rows = [data[at : at + 4 * DIM] for at in range(0, len(data), 4 * DIM)]
    assert [index.find(row) for row in rows[::50]] == list(range(0, N, 50))


def calibrated() -> Calibration:
    inferred = infer_score_map([1.0] * 256)
    assert isinstance(inferred, Calibration)
    return inferred


@pytest.mark.parametrize("with_ids", [True, False])
def test_a_census_finds_what_was_planted(path: Path, vectors: NDArray[np.float32], with_ids: bool) -> None:
    plant = {100 * place: kind for place, kind in enumerate(PLANTS)}
    oracle = Oracle(path, dim=DIM, plant=plant)
    found: Counter[Finding] = Counter()
    for row, vector in enumerate(vectors):
        finding = census(oracle(body(vector)), row if with_ids else None)
        assert finding is oracle.finding(row, with_ids=with_ids), plant.get(row)
        found[finding] += 1
    assert found == oracle.predict(with_ids=with_ids)
    assert found.total() == N


def census(answer: bytes, expected: int | None) -> Finding:
    # The standard library reads the literal NaN, as the census does.
    parsed = json.loads(answer)
    if parsed["similarity"] is None:
        return Finding.EMPTY
    return judge(parsed["similarity"], parsed["id"] if expected is not None else None, expected, calibrated())


def test_a_rank_miss_is_found_at_the_second_look(path: Path, vectors: NDArray[np.float32]) -> None:
    oracle = Oracle(path, dim=DIM, plant={1: "rank_missed", 2: "deleted"})
    ids = {row: [hit["id"] for hit in orjson.loads(oracle(body(vectors[row], top_k=50)))["hits"]] for row in (1, 2)}
    assert 1 in ids[1]
    assert 2 not in ids[2]
    assert len(ids[1]) == len(set(ids[1])) == len(ids[2]) == 50


def test_hits_grow_fewer_as_similarity_falls(path: Path, vectors: NDArray[np.float32]) -> None:
    hits = orjson.loads(Oracle(path, dim=DIM)(body(vectors[9], top_k=5)))["hits"]
    assert [hit["id"] for hit in hits] == [9, 10, 11, 12, 13]
    similarities = [hit["similarity"] for hit in hits]
    assert similarities == sorted(similarities, reverse=True)
    assert similarities[0] == 1.0


QUESTIONS: dict[str, Any] = {
    "default": lambda vector: {"vector": vector, "top_k": 2},
    "qdrant": lambda vector: {"query": vector, "limit": 2},
    "elasticsearch": lambda vector: {"knn": {"field": "v", "query_vector": vector, "k": 2}, "size": 2},
    "chroma": lambda vector: {"query_embeddings": [vector], "n_results": 2},
    "milvus": lambda vector: {"data": [vector], "limit": 2},
    "pinecone": lambda vector: {"vector": vector, "topK": 2},
}
ANSWERS: dict[str, Any] = {
    "default": lambda answer: (answer["hits"][0]["id"], answer["hits"][0]["similarity"]),
    "qdrant": lambda answer: (answer["result"]["points"][0]["id"], answer["result"]["points"][0]["score"]),
    "elasticsearch": lambda answer: (answer["hits"]["hits"][0]["_id"], answer["hits"]["hits"][0]["_score"]),
    "chroma": lambda answer: (answer["ids"][0][0], 1 - answer["distances"][0][0]),
    "milvus": lambda answer: (answer["data"][0]["id"], answer["data"][0]["distance"]),
    "pinecone": lambda answer: (answer["matches"][0]["id"], answer["matches"][0]["score"]),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes(path: Path, vectors: NDArray[np.float32], shape: str) -> None:
    oracle = Oracle(path, dim=DIM, shape=shape, plant={4: "empty"})
    answer = orjson.loads(oracle(orjson.dumps(QUESTIONS[shape](vectors[8].tolist()))))
    found, score = ANSWERS[shape](answer)
    assert (str(found), score) == ("8", 1.0)
    orjson.loads(oracle(orjson.dumps(QUESTIONS[shape](vectors[4].tolist()))))


def test_a_shape_of_ones_own(path: Path, vectors: NDArray[np.float32]) -> None:
    shape = SearchShape(lambda asked: (asked, 1), lambda hits: b"%d" % hits[0][0])
    oracle = Oracle(path, dim=DIM, shape=shape)
    assert oracle(orjson.dumps(vectors[2].tolist())) == b"2"


@pytest.mark.parametrize(
    "asked",
    [
        *(b"", b"{", b"[]", b"null", b"{}", b'{"vector": 3}', b'{"vector": [1, 2]}', b"\xff" * 40),
        *(body(["x"] * DIM), body([math.nan] * DIM)),
    ],
)
def test_what_is_no_search_is_refused(path: Path, asked: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        Oracle(path, dim=DIM)(asked)


def test_files_and_plants_that_do_not_fit_are_refused(path: Path) -> None:
    for dim in (0, -1, 7):
        with pytest.raises(ValueError, match="whole number of vectors"):
            Oracle(path, dim=dim)
    with pytest.raises(ValueError, match="no corruption 'lost'"):
        Oracle(path, dim=DIM, plant={1: "lost"})
    with pytest.raises(ValueError, match="row 3000"):
        Oracle(path, dim=DIM, plant={N: "deleted"})
