"""How well-known servers want to be asked, as data.

A preset is a path, a body template, where score and id stand in the answer, and what the score means where
that does not depend on the index. `verified` says that the shape was read in the code of a client that uses
it; the others are from memory and come with a warning. `source` says what was read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

import orjson

from ...errors import UsageError

_VARIABLE = re.compile(r"\{(collection|field|tenant|database|candidates)\}")


@dataclass(frozen=True, slots=True)
class Filled:
    """What a preset says once its variables have values."""

    path: str
    body: str
    """For BodyTemplate."""
    similarity: str
    id: str


@dataclass(frozen=True, slots=True)
class Preset:
    """One server's search call."""

    name: str
    path: str
    """Path below the server's root; `{collection}` and the like are filled in by `fill`."""
    body: str
    """For BodyTemplate, once filled in."""
    similarity: str
    """JMESPath of the best hit's score."""
    id: str
    """JMESPath of the best hit's id."""
    score_map: str | None
    """None where it depends on the index's metric, so that it is inferred from a first sample."""
    verified: bool
    source: str
    note: str = ""
    """What the user must know; printed together with the warning of an unverified preset."""
    method: str = "POST"
    defaults: Mapping[str, str] = field(default_factory=dict)
    """Values of variables that need not be given."""

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of what can be given to `fill`, in order of appearance."""
        return tuple(dict.fromkeys(_VARIABLE.findall(self.path + self.body)))

    @property
    def warning(self) -> str:
        """One line to print before the run, empty if there is nothing to warn of."""
        if self.verified:
            return self.note
        doubt = f"the preset {self.name} was not tried against a real server; look at the first answers by hand"
        return f"{doubt}. {self.note}" if self.note else doubt

    def fill(self, values: Mapping[str, str]) -> Filled:
        """The preset with `values` in place: percent-encoded in the path, JSON-escaped in the body.

        Raises UsageError for a value that is missing, not asked for, or has braces.
        """
        known = {**self.defaults, **values}
        for name in values:
            if name not in self.variables:
                raise UsageError(f"the preset {self.name} has no {{{name}}}: it takes {_names(self.variables)}")
        for name in self.variables:
            if not known.get(name):
                raise UsageError(f"the preset {self.name} needs --{name}")
            if "{" in known[name] or "}" in known[name]:
                raise UsageError(f"--{name} {known[name]!r}: braces are kept for placeholders")
        path = _VARIABLE.sub(lambda match: quote(known[match[1]], safe=""), self.path)
        body = _VARIABLE.sub(lambda match: orjson.dumps(known[match[1]])[1:-1].decode(), self.body)
        similarity, id_path = (_VARIABLE.sub(lambda m: known[m[1]], text) for text in (self.similarity, self.id))
        return Filled(path, body, similarity, id_path)


def preset(name: str) -> Preset:
    """The preset called `name`. Raises UsageError that lists the names."""
    found = PRESETS.get(name.lower())
    if found is None:
        raise UsageError(f"unknown preset {name!r}: take one of {', '.join(PRESETS)}")
    return found


def _names(names: tuple[str, ...]) -> str:
    return ", ".join(f"{{{name}}}" for name in names) or "no variables"


_ALL = (
    Preset(
        name="qdrant",
        path="/collections/{collection}/points/query",
        body='{"query": "{vector}", "limit": "{k}"}',
        similarity="result.points[0].score",
        id="result.points[0].id",
        score_map=None,
        verified=True,
        source="qdrant/vector-db-benchmark@203ab7e, qdrant_native",
    ),
    Preset(
        name="chroma",
        path="/api/v2/tenants/{tenant}/databases/{database}/collections/{collection}/query",
        body='{"query_embeddings": ["{vector}"], "n_results": "{k}", "include": ["distances"]}',
        similarity="distances[0][0]",
        id="ids[0][0]",
        score_map="1-d",
        verified=True,
        source="Chroma 1.5.9 over HTTP",
        note="--collection is the collection's id (a UUID), not its name",
        defaults={"tenant": "default_tenant", "database": "default_database"},
    ),
    Preset(
        name="elasticsearch",
        path="/{collection}/_search",
        body=(
            '{"knn": {"field": "{field}", "query_vector": "{vector}", "k": "{k}", '
            '"num_candidates": {candidates}}, "size": "{k}", "_source": false}'
        ),
        similarity="hits.hits[0]._score",
        id="hits.hits[0]._id",
        # (1 + cos) / 2 for cosine and dot product; 1 / (1 + d^2) for l2 also gives the vector itself 1, and
        # so does this map.
        score_map="2s-1",
        verified=True,
        source="qdrant/vector-db-benchmark@203ab7e and the Elasticsearch documentation of knn scores",
        defaults={"candidates": "100"},
    ),
    Preset(
        name="opensearch",
        path="/{collection}/_search",
        body=('{"query": {"knn": {"{field}": {"vector": "{vector}", "k": "{k}"}}}, "size": "{k}", "_source": false}'),
        similarity="hits.hits[0]._score",
        id="hits.hits[0]._id",
        score_map=None,
        verified=True,
        source="qdrant/vector-db-benchmark@203ab7e",
        note="the formula of the score changed in OpenSearch 2.19; it is inferred from the first answers",
    ),
    Preset(
        name="weaviate",
        path="/v1/graphql",
        body=(
            '{"query": "{ Get { {collection}(nearVector: {vector: {vector}}, limit: {k}) '
            '{ _additional { id distance } } } }"}'
        ),
        similarity="data.Get.{collection}[0]._additional.distance",
        id="data.Get.{collection}[0]._additional.id",
        score_map="1-d",
        verified=False,
        source="SDK read, GraphQL from memory",
        note="ids are UUIDs, so leave --id out unless yours hold positions",
    ),
    Preset(
        name="pinecone",
        path="/query",
        body='{"vector": "{vector}", "topK": "{k}"}',
        similarity="matches[0].score",
        id="matches[0].id",
        score_map=None,
        verified=False,
        source="SDK call read, REST from memory",
        note="give the key with --header 'Api-Key: ${PINECONE_API_KEY}'",
    ),
    Preset(
        name="milvus",
        path="/v2/vectordb/entities/search",
        body=('{"collectionName": "{collection}", "data": ["{vector}"], "annsField": "{field}", "limit": "{k}"}'),
        similarity="data[0].distance",
        id="data[0].id",
        score_map=None,
        verified=False,
        source="gRPC client read, REST from memory",
    ),
    Preset(
        name="pgvector-http",
        path="/search",
        body='{"vector": "{vector}", "top_k": "{k}"}',
        similarity="rows[0].distance",
        id="rows[0].id",
        score_map="1-d",
        verified=False,
        source="SQL read; pgvector has no HTTP API",
        note="this is the shape of a small service of your own in front of ORDER BY e <=> $1 LIMIT k",
    ),
    Preset(
        name="vespa",
        path="/search/",
        body=(
            '{"yql": "select id from {collection} where {targetHits:{k}}nearestNeighbor({field},q)", '
            '"input.query(q)": "{vector}", "hits": "{k}"}'
        ),
        similarity="root.children[0].relevance",
        id="root.children[0].fields.id",
        score_map="identity",
        verified=False,
        source="yql read, REST from memory",
        note="the rank profile must score by closeness(field), which is 1 for the vector itself",
    ),
)

PRESETS: dict[str, Preset] = {one.name: one for one in _ALL}
"""Every preset by the name that `--preset` takes."""
