"""Whether a response may be stored (RFC 9111, 3)."""

from __future__ import annotations

import math

from .cache_control import Directives
from .cache_key import vary_names
from .cookies import is_personal
from .decisions import Decision
from .freshness import HEURISTIC_STATUSES, Freshness, Use, explicit_lifetime, use_of
from .http_fields import FieldMap, RawFields, end_to_end
from .options import CacheOptions
from .ranges import parse_content_range
from .request import CacheRequest
from .uri_reference import resolve

# Statuses whose caching requirements this cache implements: all of RFC 9110, 15, but 206 and 304, which have rules of
# their own here, and the 4xx and 5xx of RFC 6585.
UNDERSTOOD_STATUSES = frozenset(
    {*range(200, 206), *range(300, 304), 305, 307, 308, *range(400, 418), 421, 422, 426, 428, 429, 431}
    | {*range(500, 506), 511}
)

ERRORS_OF_ONE = frozenset({400, 406, 408, 411, 412, 413, 415, 416, 417, 422, 425, 426, 428, 429, 431, 511})
"""Errors that speak of what one client sent, not of the resource. Others who ask for it have not sent that. 414 is not
among them: the key holds all of the URL that was too long."""
# A 400 with a lifetime of its own is the app's word: the public suite of tests asks caches to believe it.
_REFUSED_IF_SAFE = ERRORS_OF_ONE - {400}
_NEVER_STORED = frozenset({428, 429, 431, 511})
_ASKED_ALONE = frozenset({b"if-match", b"if-unmodified-since", b"range"})

_EXPLICIT = Decision(True, "explicit-freshness", "RFC 9111, 4.2.1")
_HEURISTIC = Decision(True, "heuristic-freshness", "RFC 9111, 4.2.2")
_VALIDATION = Decision(True, "validation-only", "RFC 9111, 4.3")
_PARTIAL = Decision(True, "partial", "RFC 9111, 3.3")
_BYPASS = Decision(False, "policy-bypass", "policy file")
_BYPASS_COOKIE = Decision(False, "bypass-cookie", "policy file")
_OWNER_DOWN = Decision(False, "owner-down", "engine")
_UNKEYED = Decision(False, "unkeyed-field", "RFC 9111, 7.1")
_EVENT_STREAM = Decision(False, "event-stream", "engine")
TOO_LARGE = Decision(False, "too-large", "engine")
_PROVOKED = Decision(False, "provoked-error", "RFC 9110, 15.5")
_FORBIDDEN_STATUS = Decision(False, "status-forbidden", "RFC 6585, 3 to 6")
PERSONAL = frozenset({"authorization", "request-cookie", "policy-personal"})
"""Reasons that say nothing of what others get."""
STRANGERS_ONLY = Decision(False, "policy-personal", "policy file (ttl)")
"""Why what has its lifetime from the policy is neither stored for nor shared with who says who they are."""
NO_ROOM = Decision(False, "no-room", "engine")
_TOO_MANY_TAGS = Decision(False, "too-many-tags", "engine")
_UNASKED_PART = Decision(False, "unasked-part", "RFC 9110, 15.3.7")
_METHOD = Decision(False, "method", "RFC 9110, 9.3.3")
_HEAD = Decision(False, "head", "RFC 9111, 4.3.5")
_BODY_IN_GET = Decision(False, "body-in-get", "RFC 9110, 9.3.1")
_NOT_FINAL = Decision(False, "status-not-final", "RFC 9111, 3")
_NOT_UNDERSTOOD = Decision(False, "status-not-understood", "RFC 9111, 5.2.2.3")
_MALFORMED = Decision(False, "malformed-cache-control", "RFC 9111, 4.2.1")
_NO_STORE = Decision(False, "no-store", "RFC 9111, 5.2.2.5")
_PRIVATE = Decision(False, "private", "RFC 9111, 5.2.2.7")
_AUTHORIZATION = Decision(False, "authorization", "RFC 9111, 3.5")
_REQUEST_COOKIE = Decision(False, "request-cookie", "RFC 9111, 7.3")
_SET_COOKIE = Decision(False, "set-cookie", "RFC 9111, 7.3")
_VARY_STAR = Decision(False, "vary-star", "RFC 9111, 4.1")
_VARY_MALFORMED = Decision(False, "vary-malformed", "RFC 9111, 4.1")
_PARTIAL_MISMATCH = Decision(False, "partial-mismatch", "RFC 9110, 15.3.7")
_NO_FRESHNESS = Decision(False, "no-freshness", "RFC 9111, 3")
_NO_LIFETIME = Decision(False, "no-lifetime", "RFC 9111, 3")
_NEVER_REUSABLE = Decision(False, "never-reusable", "RFC 9111, 4")
_AGE = frozenset({b"age"})
MUST_VALIDATE = Decision(False, "must-validate", "RFC 9111, 5.2.2.4")
"""Why what `may_share` refuses is not shared."""


def may_store(
    request: CacheRequest,
    status: int,
    fields: FieldMap,
    directives: Directives,
    options: CacheOptions,
    *,
    received_wall: float,
    bypass: bool = False,
    length: int | None = None,
    max_length: float = math.inf,
    tags: tuple[bytes, ...] | None = (),
) -> Decision:
    """Whether the response to `request` may be stored, and by which clause; `received_wall` in seconds since 1970.

    `fields` and `directives` are those of the response. Anything that could not be read counts against storing. A
    response without a lifetime is stored where it has a validator and its status allows heuristics; one that could
    never be reused is not. `bypass`: the policy says not to. `length`: bytes of the body, None where only its end
    will tell (see `may_keep`). `tags`: what `tags_of` read.
    """
    verdict = (
        _by_circumstance(request, status, fields, bypass, length, max_length)
        or _by_method(request, status, fields, directives, received_wall)
        or (_by_error(request, status, options) if status >= 400 else None)
        or _by_status(status, fields, directives, options)
        or _by_user(request, fields, directives, options)
        or (_by_vary(fields) if b"vary" in fields else None)
        or _by_freshness(status, fields, directives, options, received_wall)
    )
    return _TOO_MANY_TAGS if tags is None and verdict.allowed else verdict


def may_keep(size: int, max_length: float, *, held_by_others: int = 0, most_held: float = math.inf) -> Decision | None:
    """Why a body of which `size` bytes have come is kept no longer; None while it may be.

    One alone is kept however large it may be: only what the others hold counts against the `most_held` bytes of all.
    """
    if size > max_length:
        return TOO_LARGE
    return NO_ROOM if held_by_others > most_held else None


def may_share(freshness: Freshness) -> bool:
    """Whether what was received just now is for all who wait for it, not only for who asked."""
    return use_of(freshness, 0.0) is not Use.VALIDATE


def is_outdone(
    status: int, since: float, other_status: int, other_received: float, other_freshness: Freshness, now: float
) -> bool:
    """Whether a response must not take the place of another of the same variant: that came after the moment `since`.

    A part never takes the place of a fresh whole, and a whole always that of a part. Moments on the monotonic clock.
    """
    if other_status != 206 and status == 206:
        return use_of(other_freshness, now - other_received) is Use.FRESH
    return other_received > since and (other_status != 206 or status == 206)


def outdates(method: bytes, status: int, verdict: Decision) -> bool:
    """Whether an answer that is not stored, for `verdict`, says that an older one no longer speaks for the resource.

    Not what is one user's own, and not an error of the app or of one client.
    """
    if method != b"GET" or status >= 500 or status == 304 or status in ERRORS_OF_ONE:
        return False
    return verdict is not _PROVOKED and verdict.reason not in PERSONAL


def _by_circumstance(
    request: CacheRequest, status: int, fields: FieldMap, bypass: bool, length: int | None, max_length: float
) -> Decision | None:
    if bypass:
        return _BYPASS
    if request.bypass_cookie:
        return _BYPASS_COOKIE
    if request.owner_down:
        return _OWNER_DOWN
    if request.unkeyed:
        return _UNKEYED
    if status == 206 and b"range" not in request.fields:
        return _UNASKED_PART
    if fields.get(b"content-type", b"").lower().startswith(b"text/event-stream"):
        return _EVENT_STREAM
    return TOO_LARGE if length is not None and length > max_length else None


def _by_method(
    request: CacheRequest, status: int, fields: FieldMap, directives: Directives, received_wall: float
) -> Decision | None:
    method = request.method
    if method == b"GET":
        return _BODY_IN_GET if request.has_body else None
    if method == b"HEAD":
        return _HEAD
    if method != b"POST" or not 200 <= status < 300 or status == 206:
        return _METHOD
    location = fields.get(b"content-location")
    # What an operator says of pages is not said of the answer to a form.
    if (
        location is None
        or directives.by_policy
        or directives.malformed
        or explicit_lifetime(fields, directives, received_wall)[0] is None
    ):
        return _METHOD
    here = (request.scheme, request.host, request.target)
    return None if resolve(*here, location) == here else _METHOD


def _by_error(request: CacheRequest, status: int, options: CacheOptions) -> Decision | None:
    """Why an error is not for others: by what one client sends it could take a page from all."""
    if status in _NEVER_STORED:
        return _FORBIDDEN_STATUS
    alone = any(name in request.fields for name in _ASKED_ALONE)
    return _PROVOKED if alone or (options.profile == "safe" and status in _REFUSED_IF_SAFE) else None


def _by_status(status: int, fields: FieldMap, directives: Directives, options: CacheOptions) -> Decision | None:
    if not 200 <= status <= 999 or status == 304:
        return _NOT_FINAL
    if directives.malformed:
        return _MALFORMED
    if directives.must_understand:
        if status not in UNDERSTOOD_STATUSES and status != 206:
            return _NOT_UNDERSTOOD
    elif directives.no_store:
        return _NO_STORE
    if status == 206 and not _is_consistent(fields, options):
        return _PARTIAL_MISMATCH
    return None


def _is_consistent(fields: FieldMap, options: CacheOptions) -> bool:
    found = parse_content_range(fields.get(b"content-range", b""))
    # Of several ranges each part has its own Content-Range, and the response none (RFC 9110, 15.3.7.2).
    if found is None or fields.get(b"content-type", b"").lower().startswith(b"multipart/byteranges"):
        return False
    length = fields.get(b"content-length")
    if length is None or options.lenient_origin:
        return True
    first, last, _ = found
    return length == b"%d" % (last - first + 1)


def _by_user(request: CacheRequest, fields: FieldMap, directives: Directives, options: CacheOptions) -> Decision | None:
    safe = options.profile == "safe"
    if directives.by_policy and not directives.public and is_personal(request.fields):
        return STRANGERS_ONLY
    if directives.private or (safe and directives.private_fields):
        return _PRIVATE
    # Where the cookies of one client are not in the key, only this says that the answer was made of them.
    if b"set-cookie" in fields and (safe or request.unkeyed_cookie):
        return _SET_COOKIE
    sent = request.fields
    if b"authorization" not in sent and b"cookie" not in sent:
        return None
    if directives.public or directives.s_maxage is not None:
        return None
    # That lets in answers to Authorization only (3.5): of a page with cookies it speaks of its age, not of its readers.
    if b"authorization" in sent and not directives.must_revalidate:
        return _AUTHORIZATION
    if not safe or b"cookie" not in sent or b"cookie" in (vary_names(fields) or ()):
        return None
    return _REQUEST_COOKIE


def _by_vary(fields: FieldMap) -> Decision | None:
    if vary_names(fields) is not None:
        return None
    return _VARY_STAR if b"*" in fields[b"vary"] else _VARY_MALFORMED


def _by_freshness(
    status: int, fields: FieldMap, directives: Directives, options: CacheOptions, received_wall: float
) -> Decision:
    validator = b"etag" in fields or b"last-modified" in fields
    lifetime, _ = explicit_lifetime(fields, directives, received_wall)
    if lifetime is None and not (validator and (status in HEURISTIC_STATUSES or directives.public)):
        return _NO_LIFETIME if validator else _NO_FRESHNESS
    always_validated = directives.no_cache or (options.profile == "safe" and bool(directives.no_cache_fields))
    if not validator and (always_validated or not (lifetime or _grants_stale(directives))):
        return _NEVER_REUSABLE
    if status == 206:
        return _PARTIAL
    if always_validated or lifetime == 0.0:
        return _VALIDATION
    if lifetime is not None:
        return _EXPLICIT
    return _HEURISTIC if b"last-modified" in fields and options.heuristic_share else _VALIDATION


def _grants_stale(directives: Directives) -> bool:
    if directives.must_revalidate or directives.proxy_revalidate:
        return False
    return bool(directives.stale_while_revalidate or directives.stale_if_error)


def fields_to_store(fields: RawFields, directives: Directives, options: CacheOptions) -> RawFields:
    """The field lines that are kept: end to end, and without Age and those that a qualified directive names.

    Each answer from what is stored says its own age.
    Qualified `private` forbids to store them, qualified `no-cache` to send them again without validation (RFC 9111,
    5.2.2.7 and 5.2.2.4), which comes to the same here. In the safe profile such responses are not stored, or validated
    each time, so no field is cut out.
    """
    if options.profile == "safe":
        return end_to_end(fields, _AGE)
    return end_to_end(fields, _AGE.union(directives.private_fields, directives.no_cache_fields))
