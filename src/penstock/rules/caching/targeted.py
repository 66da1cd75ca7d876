"""Targeted Cache-Control fields (RFC 9213): directives for this cache alone, as a strict structured field."""

from __future__ import annotations

from functools import lru_cache

import http_sf

from .cache_control import (
    DELTAS,
    FLAGS,
    GRANTS,
    LONGEST_DELTA,
    LONGEST_REMEMBERED,
    MALFORMED,
    QUALIFIED,
    Directives,
    Found,
    parse_cache_control,
    take_qualified,
)
from .http_fields import FieldMap


def parse_targeted(value: bytes) -> Directives | None:
    """The directives of a targeted field, or None where it is to be ignored as a whole (RFC 9213, 2.1).

    Ignored: what is no Dictionary of RFC 9651, an empty one, and one where a lifetime is no Integer. A negative
    lifetime is one, and says nothing sensible: `malformed`. Parameters and unknown directives are ignored.
    """
    if len(value) > LONGEST_REMEMBERED:
        return _parse(value)
    return _remembered(value)


def _parse(value: bytes) -> Directives | None:
    try:
        members = http_sf.parse(value, tltype="dictionary")
    except ValueError:
        return None
    if not isinstance(members, dict) or not members:
        return None
    found: Found = {"targeted": True}
    for name, member in members.items():
        if not _take(found, name.encode(), member[0] if isinstance(member, tuple) else member):
            return None
    if any(found.get(attribute, 0) < 0 for attribute in DELTAS.values()):  # type: ignore[operator]  # these are numbers
        return MALFORMED
    return Directives(**found)  # type: ignore[arg-type]  # names and types go together in `_take`


_remembered = lru_cache(4096)(_parse)


def _take(found: Found, name: bytes, item: object) -> bool:
    """Note one member; False where its type makes the whole field invalid.

    A directive without argument is on unless it is the Boolean false: of a restriction with an odd value the
    restriction is the safer reading.
    """
    if name in FLAGS:
        found[FLAGS[name]] = item is not False
    elif name in DELTAS or name in GRANTS:
        if isinstance(item, bool) or not isinstance(item, int):
            return name in GRANTS
        if name in DELTAS or item >= 0:
            found[DELTAS.get(name) or GRANTS[name]] = min(item, LONGEST_DELTA)
    elif name in QUALIFIED and item is not False:
        text = isinstance(item, (str, http_sf.Token))
        take_qualified(found, QUALIFIED[name], str(item).encode("ascii", "replace") if text else None)
    return True


def response_directives(fields: FieldMap, targeted: tuple[bytes, ...]) -> tuple[Directives, bytes]:
    """The directives that count for this cache, and the name of the field that gave them.

    The first of `targeted` that is present and valid decides alone, and then Expires does not count either (RFC 9213,
    2.2); without one it is Cache-Control.
    """
    for name in targeted:
        value = fields.get(name)
        if value is not None:
            directives = parse_targeted(value)
            if directives is not None:
                return directives, name
    return parse_cache_control(fields.get(b"cache-control")), b"cache-control"
