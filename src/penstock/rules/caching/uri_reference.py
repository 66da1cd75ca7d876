"""References in Location and Content-Location, resolved against the target of the request (RFC 3986, 5.2)."""

from __future__ import annotations

import re

from .cache_key import normalise_host

_ABSOLUTE = re.compile(rb"([A-Za-z][A-Za-z0-9+.-]*):")
_AUTHORITY_AND_REST = re.compile(rb"//([^/?]*)(.*)", re.DOTALL)
# Not part of any URI, and a line end in a key would be worse than a reference that is not understood.
_FORBIDDEN = re.compile(rb"[\x00-\x20\x7f]")


def resolve(scheme: bytes, host: bytes, target: bytes, reference: bytes) -> tuple[bytes, bytes, bytes] | None:
    """Scheme, normalised host and target that `reference` means, without its fragment; None where it is unreadable.

    Absolute paths keep their bytes, as keys do; only what is relative to the target has its dots resolved.
    """
    reference = reference.partition(b"#")[0]
    if _FORBIDDEN.search(reference):
        return None
    match = _ABSOLUTE.match(reference)
    if match is not None:
        scheme, reference = match[1].lower(), reference[match.end() :]
        if not reference.startswith(b"//"):
            return None
    if reference.startswith(b"//"):
        found = _AUTHORITY_AND_REST.match(reference)
        named = normalise_host(found[1], scheme) if found is not None else None
        if found is None or named is None:
            return None
        rest: bytes = found[2]
        return scheme, named, rest if rest.startswith(b"/") else b"/" + rest
    return scheme, host, _target(target, reference)


def _target(base: bytes, reference: bytes) -> bytes:
    path, _, _query = base.partition(b"?")
    if not reference:
        return base
    if reference.startswith(b"/"):
        return reference
    if reference.startswith(b"?"):
        return path + reference
    relative, mark, query = reference.partition(b"?")
    return without_dots(path[: path.rfind(b"/") + 1] + relative) + mark + query


def without_dots(path: bytes) -> bytes:
    """RFC 3986, 5.2.4: `.` and `..` followed, never above the root."""
    kept: list[bytes] = []
    segments = path.split(b"/")[1:]
    for segment in segments:
        if segment == b"..":
            del kept[-1:]
        elif segment != b".":
            kept.append(segment)
    if segments and segments[-1] in (b".", b".."):
        kept.append(b"")
    return b"/" + b"/".join(kept)
