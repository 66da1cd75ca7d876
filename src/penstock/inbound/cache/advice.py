"""What to write so that a response is stored or reused the next time, or why nothing should be: for each reason.

It advises nothing by which one user's answer could reach another.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from ...rules.caching.freshness import HEURISTIC_STATUSES

_SESSION = re.compile(
    r"sess|sid$|csrf|xsrf|auth|token|login|jwt|remember|identity|user|account|messages|cart|basket", re.IGNORECASE
)
"""Of the names of cookies by which an app knows somebody, or keeps what is theirs."""
_ANALYTICS = (
    *("_ga*", "_gid", "_gat*", "_gcl_*", "__utm*", "_fbp", "_fbc", "_hj*", "_pk_*", "_clck", "_clsk", "_uet*", "_ttp"),
    *("_pin_unauth", "_scid", "ajs_*", "mp_*", "__hs*", "hubspotutk"),
)
_KEPT_ERRORS = frozenset({404, 410})
"""They say of the resource that it is not there, which holds for all."""


class Unstored(NamedTuple):
    """What is known of a request and its answer; of cookies the names alone.

    `silent`: the app says neither Cache-Control nor Expires nor a targeted field. `restricted`: it says private or
    no-store somewhere in them, even where the whole cannot be read; None where that is not known. `credentials`: the
    request had Authorization.
    """

    reason: str
    status: int = 200
    silent: bool = True
    restricted: bool | None = False
    credentials: bool = False
    cookies: tuple[str, ...] = ()
    set_cookies: tuple[str, ...] = ()


class Advice(NamedTuple):
    """What to do in a sentence, and how: a field for the app to send, the keys of a policy entry, or an option.

    Without any of the three the sentence says why nothing should be done.
    """

    sentence: str
    header: str | None = None
    policy: tuple[tuple[str, str | tuple[str, ...]], ...] = ()
    option: str | None = None


_A_MINUTE = "Cache-Control: max-age=60"
_WHILE_FRESH = "Cache-Control: max-age=60, stale-while-revalidate=600"
_WHILE_DOWN = "Cache-Control: max-age=60, stale-if-error=86400"
_WHILE_LONG_DOWN = "Cache-Control: max-age=60, stale-if-error=604800"
_NOTHING = Advice("Nothing has to be done: it is stored, and answers others.")
_UNNAMED_FIELDS = Advice(
    "Nothing should be as long as nobody knows what the answer depends on. Who knows names all such fields in Vary, "
    "with Cookie and Authorization where it is one user's."
)
_KEEP_WHILE_DOWN = Advice("Say for how long a stale answer is better than an error.", _WHILE_DOWN)
_FIXED: Mapping[str, Advice] = MappingProxyType(
    {
        **dict.fromkeys(
            (
                *("fresh", "purged-softly", "stale-while-revalidate", "collapsed", "stale-if-error", "disconnected"),
                *("still-fresh", "explicit-freshness", "heuristic-freshness", "validation-only", "partial"),
            ),
            _NOTHING,
        ),
        "policy-bypass": Advice(
            "The policy says bypass; who wants it stored takes that entry away. A path with .. in it is always "
            "bypassed where there are entries."
        ),
        "bypass-cookie": Advice(
            "Nothing should be: the policy says that requests with that cookie are answered by the app alone."
        ),
        "owner-down": Advice(
            "Nothing has to be done: it is stored again when that process is back, within a second; if it happens "
            "again and again, the proxy's log says how the process ends."
        ),
        "method-not-shared": Advice("Nothing should be: a method that is not GET or HEAD is for the app to carry out."),
        "precondition": Advice("Nothing should be: the app alone can judge the condition of this request."),
        "unkeyed-field": Advice(
            "Nothing should be as long as a client may send that field; have the proxy in front of it take it off."
        ),
        "stale": Advice(
            "Let a stale answer be sent while a new one is fetched; or say a longer lifetime.", _WHILE_FRESH
        ),
        "nothing-stored": Advice("Ask for it once through the cache: of late nobody has, or what was stored is gone."),
        "other-variant": Advice("Vary by fewer fields, or by those that have few values: each value is stored apart."),
        "not-for-all": Advice("Ask again: the reason is told with that answer."),
        "event-stream": Advice("Nothing should be: a stream of events has no end at which it could be stored."),
        "too-large": Advice(
            "Let a single response be larger: more than its size, and well below --memory.",
            option="--max-object 64MiB",
        ),
        "not-taken": Advice("Give the store more room with --memory if that happens often."),
        "outdone": Advice("Nothing has to be done: the newer one is stored."),
        "no-room": Advice("Nothing has to be done: it passes. If it happens often, --memory is too small."),
        "too-many-tags": Advice("Send fewer tags: 128 at most, and 16 KiB.", "Surrogate-Key: products product-7"),
        "unasked-part": Advice("Mend the app: who has not asked for a range must get the whole, with status 200."),
        "must-validate": Advice(
            "Say how long it may be used without asking, in place of no-cache or of a lifetime of 0.", _A_MINUTE
        ),
        "method": Advice("Nothing should be: what it asks for is to be done each time. Ask with GET for what is read."),
        "head": Advice("Ask with GET: that answers HEAD as well."),
        "body-in-get": Advice("Ask with the parameters in the URL: a body is no part of the key."),
        "provoked-error": Advice("Nothing should be: others have not sent what this error is about."),
        "status-forbidden": Advice("Nothing should be: this status speaks to one client."),
        "status-not-final": Advice("Nothing should be: it is no response of its own."),
        "no-store": Advice(
            "Nothing should be as long as the app forbids it; who knows that the answer is for all takes no-store away "
            "there."
        ),
        "private": Advice(
            "Nothing should be: the app says that it is for one user; who knows better takes private away there."
        ),
        "authorization": Advice(
            "Nothing should be: what one may see who has credentials is not for all. Ask without them, to see what "
            "others get."
        ),
        "vary-star": _UNNAMED_FIELDS,
        "vary-malformed": _UNNAMED_FIELDS,
        "partial-mismatch": Advice("Mend the app: Content-Range must say which bytes of how many the answer holds."),
        "never-reusable": Advice("Say how long it may be used, or send an ETag to confirm it by.", _A_MINUTE),
        "stale-if-error-over": _KEEP_WHILE_DOWN,
        "disconnected-over": Advice("Say for how long a stale answer is better than an error.", _WHILE_LONG_DOWN),
        "stale-forbidden": Advice("Say it without must-revalidate, proxy-revalidate and no-cache.", _WHILE_DOWN),
        "origin-answered": _KEEP_WHILE_DOWN,
    }
)


def advice(facts: Unstored) -> Advice:
    """What to do about `facts.reason`, a key of `REASONS`."""
    made = _MADE.get(facts.reason)
    found = _FIXED[facts.reason] if made is None else made(facts)
    if found.header is None and not found.policy:
        return found
    return _forbidden(facts) or found


def _forbidden(facts: Unstored) -> Advice | None:
    """Why nothing should be stored of it, whatever would store it."""
    if facts.credentials:
        return _FIXED["authorization"]
    if known := _sessions(facts.cookies):
        return Advice(
            f"Nothing should be: the request had {_list(known)}, so the answer may be one user's. Ask without, to see "
            "what others get."
        )
    if known := _sessions(facts.set_cookies):
        return Advice(
            f"Nothing should be: it sets {_list(known)}, which others would share. Let the app set it elsewhere: where "
            "somebody logs in or sends a form."
        )
    if facts.status >= 400 and facts.status not in _KEPT_ERRORS:
        return Advice(
            "Nothing should be: it is an error. With stale-if-error the page of before is sent while the app fails."
        )
    return None


def _malformed(facts: Unstored) -> Advice:
    return _unless_restricted(
        facts, "Correct the field: each directive once, and a lifetime as a plain number of seconds"
    )


def _not_understood(facts: Unstored) -> Advice:
    return _unless_restricted(facts, "Do not say must-understand with this status, and say how long it holds")


def _unless_restricted(facts: Unstored, sentence: str) -> Advice:
    """Where a field is judged before it is asked whom it is for: to replace it must not make public what was not."""
    if facts.restricted is None:
        return Advice(f"{sentence}.")
    if facts.restricted:
        return Advice("Nothing should be: among what it says is private or no-store.")
    return Advice(f"{sentence}.", _A_MINUTE)


def _without_lifetime(facts: Unstored) -> Advice:
    if 300 <= facts.status < 400 and facts.status not in HEURISTIC_STATUSES:
        return Advice("If everybody is sent there, say for how long.", _A_MINUTE)
    seconds = 10 if facts.status in _KEPT_ERRORS else 60
    header = f"Cache-Control: max-age={seconds}"
    if not facts.silent:
        return Advice("Say how long it holds; a policy's ttl stands in only where the app says nothing.", header)
    if facts.status in HEURISTIC_STATUSES:
        return Advice("Say how long it holds, in the app or in the policy.", header, (("ttl", f"{seconds}s"),))
    return Advice("Say how long it holds.", header)


def _with_request_cookies(facts: Unstored) -> Advice:
    if facts.cookies and all(_is_analytics(name) for name in facts.cookies):
        return Advice(
            f"Have {_list(facts.cookies)} ignored: no page depends on what counts visitors.",
            policy=(("ignore_cookies", facts.cookies), *_ttl_if(facts)),
        )
    return Advice(
        "If it depends on the cookies, say so; each value is then stored apart. If not, name them in ignore_cookies of "
        "the policy.",
        "Vary: Cookie",
    )


def _under_a_ttl(facts: Unstored) -> Advice:
    if facts.cookies and all(_is_analytics(name) for name in facts.cookies):
        return _with_request_cookies(facts._replace(silent=False))
    return Advice(
        "Nothing should be: the policy's ttl is for those who do not say who they are. Where the app itself says that "
        "the answer is for all, that holds; ignore_cookies is for cookies on which no page depends."
    )


def _with_set_cookie(facts: Unstored) -> Advice:
    names = facts.set_cookies
    if names and all(_is_analytics(name) for name in names):
        return Advice(
            f"Do not set {_list(names)} with an answer that is for all, or have the policy take it off.",
            policy=(("strip_set_cookie", names), *_ttl_if(facts)),
        )
    forbidden = _forbidden(facts)
    if forbidden is not None:
        return forbidden
    which = _list(names) if names else "the cookie"
    return Advice(
        f"Nothing should be as long as others would share {which}. If it is neither a session nor a form's token, name "
        "it in strip_set_cookie of the policy."
    )


_MADE: Mapping[str, Callable[[Unstored], Advice]] = MappingProxyType(
    {
        "malformed-cache-control": _malformed,
        "status-not-understood": _not_understood,
        "no-freshness": _without_lifetime,
        "no-lifetime": _without_lifetime,
        "request-cookie": _with_request_cookies,
        "policy-personal": _under_a_ttl,
        "set-cookie": _with_set_cookie,
    }
)


def _ttl_if(facts: Unstored) -> tuple[tuple[str, str], ...]:
    return (("ttl", "60s"),) if facts.silent else ()


def _sessions(names: tuple[str, ...]) -> list[str]:
    return [name for name in names if _SESSION.search(name)]


def _is_analytics(name: str) -> bool:
    return any(fnmatch.fnmatchcase(name, glob) for glob in _ANALYTICS)


def _list(names: tuple[str, ...] | list[str]) -> str:
    return " and ".join(names)
