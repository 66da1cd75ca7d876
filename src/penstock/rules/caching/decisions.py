"""A verdict and the clause it rests on, and what each reason means in words."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class Decision(NamedTuple):
    """Whether something is allowed, why (a key of `REASONS`), and the clause behind it."""

    allowed: bool
    reason: str
    clause: str


REASONS: Mapping[str, str] = MappingProxyType(
    {
        "policy-bypass": "The policy says bypass for this path.",
        "bypass-cookie": "The policy says bypass for a cookie of the request.",
        "owner-down": "The process that has this URL cannot be asked now; it is being started again.",
        "method-not-shared": "Only GET and HEAD are answered from what is stored.",
        "precondition": "Only the app can judge If-Match and If-Unmodified-Since.",
        "unkeyed-field": "It carries a field that the app may go by and the key does not hold.",
        "fresh": "It is fresh.",
        "purged-softly": "It was purged softly: it is sent once more while a new one is fetched.",
        "stale-while-revalidate": "It is stale, and is sent once more while a new one is fetched.",
        "collapsed": "Another client's request for it is under way, whose answer it shares.",
        "stale": "It is stale.",
        "nothing-stored": "Nothing is stored for it.",
        "other-variant": "What is stored is for other values of the fields that it varies with.",
        "not-for-all": "The answer that it waited for was for another client alone.",
        "explicit-freshness": "The response says how long it may be reused.",
        "heuristic-freshness": "The response has a Last-Modified date, from which a lifetime is estimated.",
        "validation-only": "The response may be stored, but is validated with the origin each time it is used.",
        "partial": "A single range of a response may be stored and answers requests for what it holds.",
        "event-stream": "It is a stream of events, which has no end.",
        "too-large": "It is larger than a single stored response may be.",
        "not-taken": "The store did not take it.",
        "outdone": "Something newer was stored for it while it was on its way.",
        "no-room": "Too many bytes of bodies were on their way at once to keep one more.",
        "too-many-tags": "It has more tags than are kept; without some of them it could not be purged.",
        "unasked-part": "It is a part (206), and the request asked for the whole.",
        "must-validate": "Each use must be confirmed by the origin: it is stored, "
        "but not shared between waiting clients.",
        "method": "Only responses to GET are stored, and to POST where they say that they answer a GET as well.",
        "head": "A response to HEAD is not stored; it only refreshes what is.",
        "body-in-get": "A GET with a body may be answered by its body, which is no part of the key.",
        "provoked-error": "It is an error that one client's request can provoke, and says nothing of what others get.",
        "status-forbidden": "A response with this status speaks of one client and is never stored.",
        "status-not-final": "An interim response or a 304 is not a response of its own.",
        "status-not-understood": "must-understand asks caches to store only a status they know, and this one is not.",
        "malformed-cache-control": "A cache directive could not be read, and might have forbidden to store.",
        "no-store": "The response says no-store.",
        "private": "The response says private: it is meant for one user.",
        "authorization": "The request had credentials, and the response does not say that it is for all.",
        "request-cookie": "The request had cookies; the response neither varies on them nor says that it is for all.",
        "policy-personal": "The lifetime is the policy's, and not for requests with Authorization or with cookies "
        "that are not ignored.",
        "set-cookie": "The response sets a cookie, which others would receive too.",
        "vary-star": "Vary: * says that the response depends on more than the request shows.",
        "vary-malformed": "What the response varies on could not be read.",
        "partial-mismatch": "The range of a 206 is missing, unreadable, or contradicts the length.",
        "no-freshness": "The response has neither a lifetime nor a validator.",
        "no-lifetime": "The response has a validator, but no lifetime, which its status needs.",
        "never-reusable": "It is to be validated before each use, and has no validator.",
        "stale-if-error": "The origin fails, and stale-if-error allows a stale response for so long.",
        "stale-if-error-over": "The origin fails, but the response is stale for longer than stale-if-error allows.",
        "disconnected": "The origin cannot be reached, and nothing forbids a stale response for so long.",
        "disconnected-over": "The origin cannot be reached, but the response is stale for longer than options allow.",
        "stale-forbidden": "The response forbids stale use (must-revalidate, proxy-revalidate, s-maxage, no-cache).",
        "origin-answered": "The origin answered, so without stale-if-error the client gets that answer.",
        "still-fresh": "The response is still fresh.",
    }
)
