"""Tags by which stored responses are purged together: Surrogate-Key and Cache-Tag."""

from __future__ import annotations

import re

from .http_fields import BLANKS, FieldMap

_TAG = re.compile(rb"[!-~\x80-\xff]+")


def tags_of(fields: FieldMap, *, max_tags: int, max_bytes: int) -> tuple[bytes, ...] | None:
    """The tags of a response, each once, in order: Surrogate-Key split at blanks, Cache-Tag at commas; () without any.

    None where there are more than `max_tags`, they take more than `max_bytes` together, or one cannot be read: such a
    response must not be stored, for a purge would miss it.
    """
    by_blank, by_comma = fields.get(b"surrogate-key"), fields.get(b"cache-tag")
    if by_blank is None and by_comma is None:
        return ()
    if len(by_blank or b"") + len(by_comma or b"") > 2 * max_bytes + 2:
        return None
    # Several lines were joined by commas, which can be no part of a tag that is split at blanks.
    found = (by_blank or b"").replace(b",", b" ").replace(b"\t", b" ").split(b" ")
    found += [part.strip(BLANKS) for part in (by_comma or b"").split(b",")]
    tags = tuple(dict.fromkeys(tag for tag in found if tag))
    if len(tags) > max_tags or sum(map(len, tags)) > max_bytes:
        return None
    return tags if all(_TAG.fullmatch(tag) for tag in tags) else None


def is_tag(name: bytes) -> bool:
    """Whether `name` can be a tag in either field: it has no blanks, commas or control characters."""
    return _TAG.fullmatch(name) is not None and b"," not in name
