"""Conditional requests, asked and answered, and what a 304 changes (RFC 9111, 3.2 and 4.3; RFC 9110, 13)."""

from __future__ import annotations

import re

from .cache_key import vary_names
from .http_date import parse_http_date
from .http_fields import FieldMap, RawFields, combine, end_to_end

_OPAQUE = rb'"[!#-~\x80-\xff]*"'
_ENTITY_TAG = re.compile(rb"(?:W/)?" + _OPAQUE)
_LISTED_TAG = re.compile(rb"[ \t,]*(?:W/)?(" + _OPAQUE + rb")[ \t]*(?:,|\Z)")
_UNREADABLE = float("nan")

# The body stays as it is, so a 304 must not say anything else about how long it is, how it is coded, what type it has,
# or which part it is. Content-Length is RFC 9111, 3.2; the others it lets a cache leave out to keep what it stored
# consistent: frameworks are known to put a default Content-Type on an empty 304.
_ABOUT_THE_BODY = frozenset({b"content-encoding", b"content-length", b"content-range", b"content-type"})

# RFC 9110, 15.4.5, and what browsers check on the 304 itself or would otherwise keep in an older form.
_ON_304 = frozenset(
    {b"cache-control", b"cdn-cache-control", b"content-location", b"date", b"etag", b"expires", b"vary"}
)


def validators(stored: FieldMap, method: bytes = b"GET") -> list[tuple[bytes, bytes]]:
    """Fields that make a request conditional on the stored response having changed (RFC 9111, 4.3.1); [] without any.

    Only GET: the head of a whole answer says as much as a 304 to HEAD would.
    The ETag goes as it came, quotes or not; one that would be read as several is not sent. Last-Modified goes along.
    """
    added: list[tuple[bytes, bytes]] = []
    if method != b"GET":
        return added
    tag = stored.get(b"etag")
    if tag and (_ENTITY_TAG.fullmatch(tag) or not re.search(rb'[",\s]', tag)) and tag != b"*":
        added.append((b"if-none-match", tag))
    modified = stored.get(b"last-modified")
    if modified and parse_http_date(modified, now=_now(stored)) is not None:
        added.append((b"if-modified-since", modified))
    return added


def answers_not_modified(request_fields: FieldMap, status: int, stored: FieldMap) -> bool:
    """Whether a GET or HEAD that the stored response could answer gets a 304 instead (RFC 9110, 13.2.2).

    If-None-Match goes first, with weak comparison, and where it is there If-Modified-Since does not count. That one is
    compared with Last-Modified, or else with Date (RFC 9111, 4.3.2). Only a complete success can be "not modified".
    """
    if status not in (200, 203):
        return False
    condition = request_fields.get(b"if-none-match")
    if condition is not None:
        return _matches(condition, stored.get(b"etag"))
    since = request_fields.get(b"if-modified-since")
    if since is None:
        return False
    modified = stored.get(b"last-modified") or stored.get(b"date")
    if modified is None:
        return False
    if since == modified:
        return parse_http_date(since, now=_now(stored)) is not None
    asked, changed = parse_http_date(since, now=_now(stored)), parse_http_date(modified, now=_now(stored))
    return asked is not None and changed is not None and changed <= asked


def _now(stored: FieldMap) -> float:
    """A moment by which two-digit years can be read: the Date of the stored response, which is never 50 years off."""
    made = parse_http_date(stored.get(b"date", b""), now=_UNREADABLE)
    return _UNREADABLE if made is None else made


def _matches(condition: bytes, tag: bytes | None) -> bool:
    if tag is None:
        return condition == b"*"
    if condition == tag or condition == b"*":
        return True
    opaque = tag[2:] if tag.startswith(b"W/") else tag
    position = 0
    # What cannot be read as an entity tag ends the list: a wrong 304 is worse than a body too many.
    while match := _LISTED_TAG.match(condition, position):
        if match[1] == opaque:
            return True
        position = match.end()
    return False


def merge_not_modified(stored: RawFields, update: RawFields, *, set_cookie: bool = False) -> RawFields:
    """The stored field lines freshened by a 304 or a HEAD (RFC 9111, 3.2): a name in `update` replaces all its lines.

    Left out: fields of one hop, what describes the body, and Set-Cookie unless `set_cookie` (the "rfc" profile). The
    stored Age goes even where `update` has none, since it counted to the response that was just confirmed. The caller
    gives `update` a Date if it came without one (RFC 9110, 6.6.1), or the stored Date would make it old.
    """
    new = [
        line
        for line in end_to_end(update)
        if line[0] not in _ABOUT_THE_BODY and (set_cookie or line[0] != b"set-cookie")
    ]
    replaced = {name for name, _ in new}
    replaced.add(b"age")
    return [line for line in stored if line[0] not in replaced] + new


def never_less_vary(stored_vary: tuple[bytes, ...], update: RawFields) -> RawFields:
    """`update`, a 304, with all that the stored body was known to depend on (`stored_vary`) in its Vary.

    RFC 9111, 3.2, would let it replace the Vary. But the body stays what it was made for: a 304 that forgets
    `Vary: Cookie` must not show it to others.
    """
    names = vary_names(combine(update))
    if not stored_vary or not names or set(names) >= set(stored_vary):
        return update
    both = b", ".join(sorted({*names, *stored_vary}))
    return [(name, value) for name, value in update if name != b"vary"] + [(b"vary", both)]


def selects(stored: FieldMap, update: FieldMap) -> bool:
    """Whether a 304 to our conditional request speaks of this stored response (RFC 9111, 4.3.4).

    An ETag in it must be the stored one: both strong and equal, or weak and equal but for that. Else a Last-Modified
    must not contradict the stored one. A 304 without a validator answers the one we sent.
    """
    tag = update.get(b"etag")
    if tag is not None:
        kept = stored.get(b"etag")
        if kept is None or tag == kept:
            return kept is not None
        # Equal but for the weakness of one: not the same strong validator, but if the new one is weak it may do.
        return tag.startswith(b"W/") and tag[2:] == kept.removeprefix(b"W/")
    modified, known = update.get(b"last-modified"), stored.get(b"last-modified")
    if modified is None or known is None or modified == known:
        return True
    new, old = parse_http_date(modified, now=_now(stored)), parse_http_date(known, now=_now(stored))
    return new is not None and new == old


def fields_of_304(stored: RawFields) -> RawFields:
    """The field lines of a 304 to the client (RFC 9110, 15.4.5), without Age, which is the caller's.

    Last-Modified only where there is no ETag to update by. Access-Control-* go along: browsers check them on the 304.
    """
    tagged = any(name == b"etag" for name, _ in stored)
    return [
        line
        for line in stored
        if line[0] in _ON_304 or line[0].startswith(b"access-control-") or (line[0] == b"last-modified" and not tagged)
    ]


def head_confirms(stored: FieldMap, update: FieldMap) -> bool:
    """Whether a 200 to HEAD agrees with the stored 200 to GET, so that it may freshen it (RFC 9111, 4.3.5).

    ETag, Last-Modified and Content-Length must each be equal where the HEAD has them. Where they are not, the stored
    response is to be taken for stale.
    """
    return all(
        update[name] == stored.get(name) for name in (b"etag", b"last-modified", b"content-length") if name in update
    )
