"""How old a response is, how long it is fresh, and what may be done with it after (RFC 9111, 4.2; RFC 5861)."""

from __future__ import annotations

import enum
import math
from typing import NamedTuple

from ..clock_offset import kept_for
from .cache_control import LONGEST_DELTA, Directives, parse_delta
from .decisions import Decision
from .http_date import parse_http_date
from .http_fields import BLANKS, FieldMap
from .options import CacheOptions

HEURISTIC_STATUSES = frozenset({200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501})
"""Statuses that may be reused without an explicit lifetime (RFC 9110, 15.1)."""


class Freshness(NamedTuple):
    """What is kept of a stored response for deciding its use; seconds, finite and not negative.

    `initial_age`: the age at the moment it was received. `stale_if_error`: None where the response does not say.
    `stale_when_unreachable`: the operator's bound for a dead origin. `may_be_stale`: False where the response forbids
    to use it stale; what it grants in so many words (next to s-maxage) counts nevertheless. `must_validate`: no-cache.
    `strangers_only`: its lifetime is the operator's, who has not said that it is for requests with credentials too.
    """

    lifetime: float
    lifetime_from: str
    initial_age: float
    stale_while_revalidate: float
    stale_if_error: float | None
    stale_when_unreachable: float
    may_be_stale: bool
    must_validate: bool
    strangers_only: bool = False


class Use(enum.Enum):
    """What to do with a stored response: send it, send it and fetch a new one behind it, or ask the origin first."""

    FRESH = "fresh"
    STALE_WHILE_REVALIDATE = "stale-while-revalidate"
    VALIDATE = "validate"


def freshness_of(
    status: int,
    fields: FieldMap,
    directives: Directives,
    options: CacheOptions,
    *,
    response_delay: float,
    received_wall: float,
    clock_behind: float | None = None,
) -> Freshness:
    """The freshness of a response received at `received_wall` (seconds since 1970), `response_delay` after the request.

    `clock_behind`: seconds by which the clock of the app is behind ours, where that is known (negative: ahead).
    s-maxage implies proxy-revalidate (RFC 9111, 5.2.2.10), so nothing stale by default; but where the same response
    grants stale-while-revalidate or stale-if-error, that is the more specific wish, and their use in the field.
    """
    date = date_of(fields, received_wall)
    lifetime, clause = explicit_lifetime(fields, directives, received_wall)
    if lifetime is None:
        lifetime, clause = _heuristic_lifetime(status, fields, directives, options, date)
    bound = directives.must_revalidate or directives.proxy_revalidate or directives.no_cache or directives.malformed
    if options.profile == "safe" and directives.no_cache_fields:
        bound = must_validate = True
    else:
        must_validate = directives.no_cache or directives.malformed
    may_be_stale = not bound and directives.s_maxage is None
    if_error = directives.stale_if_error
    return Freshness(
        lifetime,
        clause,
        initial_age(fields, date, response_delay, received_wall, clock_behind),
        0.0 if bound else float(directives.stale_while_revalidate or 0),
        None if bound or if_error is None else float(if_error),
        options.stale_when_unreachable if may_be_stale else 0.0,
        may_be_stale,
        must_validate,
        directives.by_policy and not directives.public,
    )


def explicit_lifetime(fields: FieldMap, directives: Directives, received_wall: float) -> tuple[float | None, str]:
    """Seconds of lifetime that the response states (RFC 9111, 4.2.1) and where, or None without any."""
    if directives.malformed:
        return 0.0, "RFC 9111, 4.2.1"
    if directives.by_policy and directives.max_age is not None:
        return float(directives.max_age), "policy file (ttl)"
    if directives.s_maxage is not None:
        return float(directives.s_maxage), "RFC 9111, 5.2.2.10 (s-maxage)"
    if directives.max_age is not None:
        return float(directives.max_age), "RFC 9111, 5.2.2.1 (max-age)"
    expires = None if directives.targeted else fields.get(b"expires")
    if expires is None:
        return None, ""
    until = parse_http_date(expires, now=received_wall)
    # An unreadable Expires, above all "0", means already expired (RFC 9111, 5.3).
    seconds = 0.0 if until is None else min(max(until - date_of(fields, received_wall), 0.0), float(LONGEST_DELTA))
    return seconds, "RFC 9111, 5.3 (Expires)"


def date_of(fields: FieldMap, received_wall: float) -> float:
    """Seconds since 1970 of Date, or of the receipt where that is missing or unreadable (RFC 9110, 6.6.1)."""
    value = fields.get(b"date")
    date = None if value is None else parse_http_date(value, now=received_wall)
    if date is not None:
        return date
    return math.floor(received_wall) if math.isfinite(received_wall) else 0.0


def _heuristic_lifetime(
    status: int, fields: FieldMap, directives: Directives, options: CacheOptions, date: float
) -> tuple[float, str]:
    clause = "RFC 9111, 4.2.2 (heuristic)"
    value = fields.get(b"last-modified")
    if value is None or not (status in HEURISTIC_STATUSES or directives.public):
        return 0.0, clause
    # Pragma means nothing in a response (RFC 9111, 5.4), but who sends it does not want a guess.
    if b"no-cache" in fields.get(b"pragma", b"").lower():
        return 0.0, clause
    modified = parse_http_date(value, now=date)
    if modified is None:
        return 0.0, clause
    return max(0.0, min((date - modified) * options.heuristic_share, options.heuristic_max)), clause


def initial_age(
    fields: FieldMap, date: float, response_delay: float, received_wall: float, clock_behind: float | None
) -> float:
    """RFC 9111, 4.2.3: what Age says, and the time since the request, both by our own clock.

    Of several Age members the first counts, one that is no number is ignored (RFC 9111, 5.1). For Date see `kept_for`.
    """
    delay = response_delay if 0.0 <= response_delay < math.inf else 0.0
    value = fields.get(b"age")
    told = 0.0
    if value is not None:
        told = float(parse_delta(value.lstrip(b" \t,").partition(b",")[0].rstrip(BLANKS)) or 0)
    apparent = math.floor(received_wall) - date if math.isfinite(received_wall) else 0.0
    if apparent > 0.0:
        apparent = kept_for(apparent, fields.get(b"via"), clock_behind)
    return min(max(apparent, told + delay, 0.0), float(LONGEST_DELTA))


def current_age(freshness: Freshness, resident: float) -> float:
    """Seconds: the age at receipt and the time since. A `resident` that is negative or no number counts as 0."""
    return freshness.initial_age + max(0.0, resident)


def generated_age(freshness: Freshness, resident: float) -> int:
    """Whole seconds for the Age field of an answer from the cache (RFC 9111, 5.1)."""
    return int(min(current_age(freshness, resident), LONGEST_DELTA))


def remaining(freshness: Freshness, resident: float) -> float:
    """Seconds of freshness left; negative once stale (the `ttl` of RFC 9211)."""
    return freshness.lifetime - current_age(freshness, resident)


def use_of(freshness: Freshness, resident: float, *, soft_purged: bool = False) -> Use:
    """What to do with a response stored `resident` seconds ago.

    After a soft purge a response that is fresh by its own account may be sent once more while a new one is fetched.
    """
    if freshness.must_validate:
        return Use.VALIDATE
    stale_for = freshness.initial_age - freshness.lifetime
    if resident > 0.0:
        stale_for += resident
    if stale_for < 0.0:
        return Use.STALE_WHILE_REVALIDATE if soft_purged else Use.FRESH
    return Use.STALE_WHILE_REVALIDATE if stale_for < freshness.stale_while_revalidate else Use.VALIDATE


_STILL_FRESH = Decision(True, "still-fresh", "RFC 9111, 4.2")
_FORBIDDEN = Decision(False, "stale-forbidden", "RFC 9111, 4.2.4")
_IF_ERROR = Decision(True, "stale-if-error", "RFC 5861, 4")
_IF_ERROR_OVER = Decision(False, "stale-if-error-over", "RFC 5861, 4")
_ANSWERED = Decision(False, "origin-answered", "RFC 9111, 4.2.4")
_DISCONNECTED = Decision(True, "disconnected", "RFC 9111, 4.2.4")
_DISCONNECTED_OVER = Decision(False, "disconnected-over", "RFC 9111, 4.2.4")


def may_serve_on_error(freshness: Freshness, resident: float, *, disconnected: bool) -> Decision:
    """Whether a stored response may answer although the origin failed.

    `disconnected`: there was no connection, or it closed without an answer; otherwise it answered 500, 502, 503 or 504,
    or not in time. stale-if-error covers all of that. Without it only the first is covered, for as long as the operator
    allows: an origin that answers, however badly, has been reached.
    """
    if freshness.must_validate:
        return _FORBIDDEN
    stale_for = freshness.initial_age - freshness.lifetime
    if resident > 0.0:
        stale_for += resident
    if stale_for < 0.0:
        return _STILL_FRESH
    if freshness.stale_if_error is not None:
        return _IF_ERROR if stale_for <= freshness.stale_if_error else _IF_ERROR_OVER
    if not freshness.may_be_stale:
        return _FORBIDDEN
    if not disconnected:
        return _ANSWERED
    return _DISCONNECTED if stale_for <= freshness.stale_when_unreachable else _DISCONNECTED_OVER
