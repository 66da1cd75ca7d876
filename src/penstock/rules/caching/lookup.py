"""What is done with a request (RFC 9111, 4): it goes by itself, is answered from the store, joins others, or is sent.

Three questions in this order, each with more facts than the one before: `pass_by`, `reuse`, `ask`. The first plan
holds; None means that the next is to be asked. So nobody has to gather what a request does not need.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

from .cookies import is_personal
from .decisions import Decision
from .freshness import Freshness, Use, may_serve_on_error, remaining, use_of
from .http_fields import FieldMap
from .ranges import is_single, is_suffix
from .request import CacheRequest
from .storing import ERRORS_OF_ONE, NO_ROOM, STRANGERS_ONLY

SHAREABLE = frozenset({b"GET", b"HEAD"})
"""The methods whose answers several clients may share."""


class Act(enum.Enum):
    """What becomes of a request.

    STRAIGHT: it goes to the origin as it is, the cache has nothing to do with it. HIT, STALE: what is stored answers
    it. JOIN: it shares an answer that is on its way. ALONE: it is sent, and its answer is for nobody else. FETCH: it is
    sent, and others may join.
    """

    STRAIGHT = "straight"
    HIT = "hit"
    STALE = "stale"
    JOIN = "join"
    ALONE = "alone"
    FETCH = "fetch"


class Plan(NamedTuple):
    """What to do, the word for it in Cache-Status and counters, why (a key of `REASONS`), and the clause behind it.

    `refresh`: a new answer is to be fetched behind the stale one.
    """

    act: Act
    word: str
    reason: str
    clause: str
    refresh: bool = False


_BYPASS = Plan(Act.STRAIGHT, "bypass", "policy-bypass", "policy file")
_BYPASS_COOKIE = Plan(Act.STRAIGHT, "bypass", "bypass-cookie", "policy file")
_OWNER_DOWN = Plan(Act.STRAIGHT, "bypass", "owner-down", "engine")
_METHOD = Plan(Act.STRAIGHT, "method", "method-not-shared", "RFC 9111, 4")
_BODY = Plan(Act.STRAIGHT, "request", "body-in-get", "RFC 9110, 9.3.1")
_FOR_THE_APP = Plan(Act.STRAIGHT, "request", "precondition", "RFC 9110, 13.1")
BARRED = Plan(Act.STRAIGHT, "bypass", "unkeyed-field", "RFC 9111, 7.1")
"""For what carries something that the key does not hold."""
_HIT = Plan(Act.HIT, "hit", "fresh", "RFC 9111, 4.2")
_SOFT = Plan(Act.STALE, "stale-while-revalidate", "purged-softly", "purge")
_STALE = Plan(Act.STALE, "stale-while-revalidate", "stale-while-revalidate", "RFC 5861, 3 (stale-while-revalidate)")
_JOIN = Plan(Act.JOIN, "collapsed", "collapsed", "")
_MUST_VALIDATE = Plan(Act.FETCH, "stale", "must-validate", "RFC 9111, 5.2.2.4")
_VALIDATE = Plan(Act.FETCH, "stale", "stale", "RFC 9111, 4.3")
_NOTHING = Plan(Act.FETCH, "uri-miss", "nothing-stored", "RFC 9111, 4")
_OTHERS = Plan(Act.FETCH, "vary-miss", "other-variant", "RFC 9111, 4.1")
REFRESH = _VALIDATE
"""For the request that follows a stale answer."""
_WORDS_OF_PASS = frozenset({"bypass", "method", "request"})
LET_GO = Plan(Act.ALONE, "miss", "not-for-all", "RFC 9111, 4")
"""For who waited for an answer that turned out to be another client's alone."""
OWN = Plan(Act.ALONE, "miss", STRANGERS_ONLY.reason, STRANGERS_ONLY.clause)
"""For who says who it is, where what is stored or on its way is for those who do not."""


def pass_by(request: CacheRequest, *, bypass: bool) -> Plan | None:
    """Whether the cache has nothing to do with `request`.

    `bypass`: the policy says so.
    """
    if bypass:
        return _BYPASS
    if request.bypass_cookie:
        return _BYPASS_COOKIE
    if request.owner_down:
        return _OWNER_DOWN
    if request.method not in SHAREABLE:
        return _METHOD
    if request.has_body:
        return _BODY
    fields = request.fields
    if b"if-match" in fields or b"if-unmodified-since" in fields:
        return _FOR_THE_APP
    return BARRED if request.unkeyed else None


def is_kept_from(freshness: Freshness, fields: FieldMap) -> bool:
    """Whether what was or will be stored is not for a request with `fields`, however fresh it is."""
    return freshness.strangers_only and is_personal(fields)


def reuse(method: bytes, freshness: Freshness, resident: float, *, soft_purged: bool, origin_down: bool) -> Plan | None:
    """Whether what was stored `resident` seconds ago, and is selected, answers a request now.

    Where the origin is known to be down, waiting for it would only make the client wait. HEAD refreshes nothing.
    """
    use = use_of(freshness, resident, soft_purged=soft_purged)
    if use is Use.FRESH:
        return _HIT
    refresh = method == b"GET"
    if use is Use.STALE_WHILE_REVALIDATE:
        plan = _SOFT if soft_purged and remaining(freshness, resident) > 0 else _STALE
        return plan._replace(refresh=refresh)
    if origin_down:
        allowed, reason, clause = may_serve_on_error(freshness, resident, disconnected=True)
        if allowed:
            return Plan(Act.STALE, "origin-down", reason, clause, refresh)
    return None


def ask(
    method: bytes,
    selected: Freshness | None,
    *,
    others_stored: bool,
    varies: bool,
    on_its_way: bool,
    refused: Decision | None,
) -> Plan:
    """How the origin is asked. `selected` is the freshness of what is stored and needs its word, if anything does.

    `others_stored`: something is stored for other values of the fields it varies with; `varies`: answers were last seen
    to vary. `on_its_way`: an answer that others wait for may be joined. `refused`: why the last one could not be
    shared, as long as that is remembered.
    """
    if selected is not None:
        plan = _MUST_VALIDATE if selected.must_validate else _VALIDATE
    else:
        plan = _OTHERS if others_stored else _NOTHING
        word = "vary-miss" if varies else "uri-miss"
        if plan.word != word:
            plan = plan._replace(word=word)
    if method == b"HEAD":
        return plan._replace(act=Act.ALONE)
    if on_its_way:
        return _JOIN
    return plan if refused is None else Plan(Act.ALONE, "miss", refused.reason, refused.clause)


def asks_for_whole(method: bytes, range_value: bytes, *, on_its_way: bool) -> bool:
    """Whether a request for a range of what is not stored shares the whole, from which all ranges can be cut.

    `on_its_way`: the whole is asked for already. A suffix goes for it only then: where it begins nobody knows, and
    whoever asks for the end of a file first would wait for all of it. Several ranges, and what is none, go as they are.
    """
    return method == b"GET" and is_single(range_value) and (on_its_way or not is_suffix(range_value))


def is_of_url(request: CacheRequest, word: str) -> bool:
    """Whether why an answer is not shared speaks of its URL, so that it is told to who asks; `word` is the plan's.

    A condition, a range or a body is one client's, and says nothing of what others get.
    """
    return request.method == b"GET" and word not in _WORDS_OF_PASS and b"range" not in request.fields


def is_for_all(request: CacheRequest, status: int, word: str, verdict: Decision) -> bool:
    """Whether the `verdict` not to share an answer holds for the next ones, and is remembered; `word` is the plan's.

    What is one client's must not decide how all others are served. Nor does an error say how the app answers when it is
    well again or to who has not provoked it, or a want of room how it will be later.
    """
    return is_of_url(request, word) and status not in ERRORS_OF_ONE and status < 500 and verdict is not NO_ROOM
