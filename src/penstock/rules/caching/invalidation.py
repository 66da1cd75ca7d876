"""Which stored responses an unsafe request makes untrue (RFC 9111, 4.4)."""

from __future__ import annotations

from .http_fields import FieldMap
from .uri_reference import resolve

# RFC 9110, 9.2.1; RFC 4918, 3253 and 5323 (WebDAV); and QUERY. Unknown methods count as unsafe.
_SAFE = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"QUERY", b"PROPFIND", b"REPORT", b"SEARCH"})


def is_unsafe(method: bytes) -> bool:
    """Whether a method may change something; methods are case-sensitive, and unknown ones may."""
    return method not in _SAFE


def invalidated(
    method: bytes, status: int, scheme: bytes, host: bytes, target: bytes, fields: FieldMap
) -> list[tuple[bytes, bytes, bytes]]:
    """Scheme, host and target of what the response to an unsafe method makes invalid.

    That is the target itself, and what Location and Content-Location name. Only after a success or a redirect, and
    only where the origin is the same: or else one site could empty the cache of another.
    `fields` are those of the response.
    """
    if not is_unsafe(method) or not 200 <= status < 400:
        return []
    found = [(scheme, host, target)]
    for name in (b"location", b"content-location"):
        reference = fields.get(name)
        if reference is None:
            continue
        meant = resolve(scheme, host, target, reference)
        if meant is not None and meant[:2] == (scheme, host) and meant not in found:
            found.append(meant)
    return found
