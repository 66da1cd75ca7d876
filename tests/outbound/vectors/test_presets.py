"""Presets are data; what can be wrong with data is checked here."""

import orjson
import pytest

from penstock.errors import UsageError
from penstock.outbound.vectors.answers import compile_answer, compile_hits, plain_steps
from penstock.outbound.vectors.bodies import BodyTemplate
from penstock.outbound.vectors.numeric import np
from penstock.outbound.vectors.presets import PRESETS, Preset, preset
from penstock.rules.census.score_map import score_map

VALUES = {"collection": "Things", "field": "embedding"}
ALL = list(PRESETS.values())


def _values(one: Preset) -> dict[str, str]:
    return {name: value for name, value in VALUES.items() if name in one.variables}


@pytest.mark.parametrize("one", ALL, ids=lambda one: one.name)
def test_every_preset_works(one: Preset) -> None:
    """It fills in, makes a JSON body, can ask for more hits, and its paths and map are known."""
    filled = one.fill(_values(one))
    template = BodyTemplate(filled.body)
    body = template.with_k(100).block(np.ones((1, 2), np.float32), 0)[0]
    assert b"[1.0,1.0]" in body
    assert b"100" in body
    orjson.loads(body)
    assert filled.path.startswith("/")
    assert "{" not in filled.path + filled.similarity + filled.id
    compile_answer(filled.similarity, filled.id)
    assert plain_steps(filled.similarity) is not None
    assert compile_hits(filled.similarity, filled.id) is not None
    assert one.score_map is None or score_map(one.score_map)
    assert one.method == "POST"
    assert one.source


def test_which_are_verified() -> None:
    """As the field notes mark them; an unverified one always warns."""
    assert {one.name for one in ALL if one.verified} == {"qdrant", "chroma", "elasticsearch", "opensearch"}
    for one in ALL:
        assert one.verified or "was not tried" in one.warning


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("qdrant", {"query": [0.5], "limit": 1}),
        ("chroma", {"query_embeddings": [[0.5]], "n_results": 1, "include": ["distances"]}),
        (
            "elasticsearch",
            {
                "knn": {"field": "embedding", "query_vector": [0.5], "k": 1, "num_candidates": 100},
                "size": 1,
                "_source": False,
            },
        ),
        (
            "opensearch",
            {"query": {"knn": {"embedding": {"vector": [0.5], "k": 1}}}, "size": 1, "_source": False},
        ),
        (
            "weaviate",
            {"query": "{ Get { Things(nearVector: {vector: [0.5]}, limit: 1) { _additional { id distance } } } }"},
        ),
        ("pinecone", {"vector": [0.5], "topK": 1}),
        ("milvus", {"collectionName": "Things", "data": [[0.5]], "annsField": "embedding", "limit": 1}),
        ("pgvector-http", {"vector": [0.5], "top_k": 1}),
        (
            "vespa",
            {
                "yql": "select id from Things where {targetHits:1}nearestNeighbor(embedding,q)",
                "input.query(q)": [0.5],
                "hits": 1,
            },
        ),
    ],
)
def test_bodies(name: str, body: object) -> None:
    """What is sent, exactly."""
    one = preset(name)
    template = BodyTemplate(one.fill(_values(one)).body)
    assert orjson.loads(template.block(np.array([[0.5]], np.float32), 0)[0]) == body


def test_values_are_escaped() -> None:
    """In the path for a URL, in the body for JSON."""
    assert preset("qdrant").fill({"collection": "a/b ü"}).path == "/collections/a%2Fb%20%C3%BC/points/query"
    filled = preset("milvus").fill({"collection": 'a"b', "field": "v"})
    assert orjson.loads(filled.body)["collectionName"] == 'a"b'
    assert preset("chroma").fill({"collection": "c"}).path.startswith("/api/v2/tenants/default_tenant/databases/")


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        ("qdrant", {}, "needs --collection"),
        ("qdrant", {"collection": ""}, "needs --collection"),
        ("qdrant", {"collection": "c", "field": "f"}, "no {field}"),
        ("pinecone", {"collection": "c"}, "takes no variables"),
        ("milvus", {"collection": "{vector}", "field": "f"}, "braces"),
    ],
)
def test_values_that_are_refused(name: str, values: dict[str, str], said: str) -> None:
    """Missing, not asked for, or able to change the template."""
    with pytest.raises(UsageError) as caught:
        preset(name).fill(values)
    assert said in str(caught.value)


def test_unknown_preset() -> None:
    """Answered with the list; case does not matter."""
    assert preset("Qdrant").name == "qdrant"
    with pytest.raises(UsageError, match="qdrant, chroma"):
        preset("faiss")
