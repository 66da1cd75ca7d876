"""How different vector search APIs write the same question and the same answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

Hit = tuple[int, float]
"""(id, cosine similarity)."""


@dataclass(frozen=True, slots=True)
class SearchShape:
    """`read` takes the parsed body to (vector, top_k); `write` takes hits, best first, to a body.

    `read` raises KeyError, IndexError or TypeError for a body of another shape. `write` turns the similarity
    into the API's own score.
    """

    read: Callable[[Any], tuple[Sequence[float], int]]
    write: Callable[[Sequence[Hit]], bytes]


def _write_default(hits: Sequence[Hit]) -> bytes:
    listed = [{"id": item, "similarity": similarity} for item, similarity in hits]
    return orjson.dumps({**listed[0], "hits": listed} if listed else {"similarity": None, "id": None, "hits": []})


def _write_qdrant(hits: Sequence[Hit]) -> bytes:
    points = [{"id": item, "version": 0, "score": similarity} for item, similarity in hits]
    return orjson.dumps({"result": {"points": points}, "status": "ok", "time": 0.001})


def _write_elasticsearch(hits: Sequence[Hit]) -> bytes:
    listed = [{"_index": "v", "_id": str(item), "_score": (1 + cosine) / 2} for item, cosine in hits]
    total = {"value": len(listed), "relation": "eq"}
    return orjson.dumps({"took": 1, "timed_out": False, "hits": {"total": total, "hits": listed}})


def _write_chroma(hits: Sequence[Hit]) -> bytes:
    ids = [str(item) for item, _ in hits]
    return orjson.dumps({"ids": [ids], "distances": [[1 - cosine for _, cosine in hits]]})


def _write_milvus(hits: Sequence[Hit]) -> bytes:
    return orjson.dumps({"code": 0, "data": [{"id": item, "distance": cosine} for item, cosine in hits]})


def _write_pinecone(hits: Sequence[Hit]) -> bytes:
    return orjson.dumps({"matches": [{"id": str(item), "score": cosine} for item, cosine in hits]})


SHAPES: Mapping[str, SearchShape] = {
    "default": SearchShape(lambda body: (body["vector"], body.get("top_k", 1)), _write_default),
    "qdrant": SearchShape(lambda body: (body["query"], body.get("limit", 10)), _write_qdrant),
    "elasticsearch": SearchShape(
        lambda body: (body["knn"]["query_vector"], body["knn"].get("k", 10)), _write_elasticsearch
    ),
    "chroma": SearchShape(lambda body: (body["query_embeddings"][0], body.get("n_results", 10)), _write_chroma),
    "milvus": SearchShape(lambda body: (body["data"][0], body.get("limit", 10)), _write_milvus),
    "pinecone": SearchShape(lambda body: (body["vector"], body.get("topK", 1)), _write_pinecone),
}
"""By name. Scores: elasticsearch (1 + cosine) / 2; chroma the distance 1 - cosine; the others the cosine."""
