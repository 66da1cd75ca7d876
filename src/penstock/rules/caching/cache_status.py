"""The Cache-Status field (RFC 9211): one member of a structured list for this cache."""

from __future__ import annotations

import re
from typing import NamedTuple

_TOKEN = re.compile(rb"[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]*")
_NOT_IN_STRING = re.compile(rb"[^ -~]")
_LARGEST = 999_999_999_999_999
_PARAMETER = re.compile(rb';\s*([a-z-]+)(?:=(?:"((?:[^"\\]|\\.)*)"|([^;\s]*)))?')
_STRAIGHT = frozenset({"bypass", "method", "request"})


def cache_status(
    name: bytes,
    *,
    hit: bool,
    fwd: str | None = None,
    ttl: int | None = None,
    stored: bool = False,
    collapsed: bool = False,
    detail: str | None = None,
) -> bytes:
    """The member for one answer. A hit was not forwarded, so with `hit` all that tells of forwarding is left out.

    `fwd`: a reason of RFC 9211, 2.2, such as "uri-miss", "stale" or "bypass". `ttl`: seconds of freshness left,
    negative once stale. Bytes that a structured string cannot hold are written as %XX.
    """
    parts = [_item(name)]
    if hit:
        parts.append(b"hit")
    elif fwd is not None:
        parts.append(b"fwd=" + _item(fwd.encode("utf-8", "replace")))
    if ttl is not None:
        parts.append(b"ttl=%d" % max(-_LARGEST, min(ttl, _LARGEST)))
    if stored and not hit:
        parts.append(b"stored")
    if collapsed and not hit:
        parts.append(b"collapsed")
    if detail is not None:
        parts.append(b"detail=" + _item(detail.encode("utf-8", "replace")))
    return b"; ".join(parts)


def _item(text: bytes) -> bytes:
    if _TOKEN.fullmatch(text):
        return text
    escaped = text.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
    return b'"' + _NOT_IN_STRING.sub(lambda found: b"%%%02X" % found[0][0], escaped) + b'"'


class Told(NamedTuple):
    """What a member says: one word for it, and why the origin was asked, or more."""

    result: str
    """"hit", "stale", "collapsed", "bypass" (never looked up) or "miss"."""
    fwd: str | None = None
    detail: str | None = None
    stored: bool = False


HIT = Told("hit")


def read_cache_status(member: bytes) -> Told:
    """What `cache_status` has written."""
    said = {name: (quoted or token).decode("latin-1") for name, quoted, token in _PARAMETER.findall(member)}
    fwd, detail = said.get(b"fwd"), said.get(b"detail")
    if b"hit" in said:
        # What is fresh needs no word for why it was used.
        return HIT if detail is None else Told("stale", None, detail)
    result = "collapsed" if b"collapsed" in said else "bypass" if fwd in _STRAIGHT else "miss"
    return Told(result, fwd, detail, b"stored" in said)
