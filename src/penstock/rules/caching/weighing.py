"""What the rules say of an answer at its head, in their order: its directives, its tags, whether it may be stored."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from .cache_control import Directives
from .decisions import Decision
from .http_fields import FieldMap
from .options import CacheOptions
from .request import CacheRequest
from .storing import may_store
from .surrogate_tags import tags_of
from .targeted import response_directives


class Weighed(NamedTuple):
    """Whether an answer may be stored, the directives that count, and its own tags."""

    verdict: Decision
    directives: Directives
    tags: tuple[bytes, ...]


def weigh_answer(
    request: CacheRequest,
    status: int,
    fields: FieldMap,
    options: CacheOptions,
    *,
    received_wall: float,
    length: int | None,
    max_length: float,
    bypass: bool = False,
    stand_in: Callable[[int], Directives | None] | None = None,
) -> Weighed:
    """Whether the answer to `request` may be stored, and what else its head says.

    `stand_in`: the operator's directives for a status, where the answer has no lifetime of its own. For the other
    arguments see `may_store`, which only this asks.
    """
    directives, source = response_directives(fields, options.targeted)
    if (
        stand_in is not None
        and source == b"cache-control"
        and b"cache-control" not in fields
        and b"expires" not in fields
    ):
        directives = stand_in(status) or directives
    tags = tags_of(fields, max_tags=options.max_tags, max_bytes=options.max_tag_bytes)
    verdict = may_store(
        request,
        status,
        fields,
        directives,
        options,
        received_wall=received_wall,
        bypass=bypass,
        length=length,
        max_length=max_length,
        tags=tags,
    )
    return Weighed(verdict, directives, tags or ())
