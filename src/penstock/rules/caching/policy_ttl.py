"""The lifetime that an operator gives to answers whose app gives them none: which statuses may have one, how long."""

from __future__ import annotations

from collections.abc import Mapping

from .cache_control import Directives
from .freshness import HEURISTIC_STATUSES
from .storing import ERRORS_OF_ONE

LONGEST_FAILURE = 10.0
"""Seconds for which a failure of the app (5xx) may be what everybody gets, by the operator's word."""
_DENIALS = frozenset({401, 403, 407})
"""They say who asked, not what was asked for: others may have the right that this one lacked."""


def policy_lifetime(status: int, ttl: float | None, by_status: Mapping[int, float] | None) -> float | None:
    """Seconds of lifetime for an answer with `status` that states none itself; None: none.

    `ttl` is for statuses that may be cached by default (RFC 9110, 15.1): an operator means pages with it, not a failure
    of the app or what one client provoked. `by_status` says more, and goes before.
    """
    if by_status:
        seconds = by_status.get(status)
        if seconds is not None:
            return seconds
    return ttl if status in HEURISTIC_STATUSES else None


def policy_directives(
    status: int,
    ttl: float | None,
    by_status: Mapping[int, float] | None,
    *,
    stale_while_revalidate: float | None,
    stale_if_error: float | None,
    public: bool,
) -> Directives | None:
    """The directives that stand in for those that an answer with `status` does not have; None where nothing does."""
    seconds = policy_lifetime(status, ttl, by_status)
    if seconds is None:
        return None
    return Directives(
        max_age=seconds,
        stale_while_revalidate=stale_while_revalidate,
        stale_if_error=stale_if_error,
        # A failure is not to be served for longer than its few seconds.
        proxy_revalidate=status >= 500,
        public=public,
        by_policy=True,
    )


def refused_status(status: int, seconds: float, *, public: bool) -> str | None:
    """Why `status` may not be given a lifetime of `seconds` by its number, in words; None where it may."""
    if not 200 <= status <= 599 or status == 304:
        return f"{status} is no status of an answer that can be stored"
    if status in ERRORS_OF_ONE:
        return f"{status} speaks of what one client sent and is never stored by a policy; take it out"
    if status in _DENIALS and not public:
        return (
            f"{status} tells one client what others may be allowed; take it out, or say public = true where "
            "everybody is to get it, with whatever credentials"
        )
    if status >= 500 and seconds > LONGEST_FAILURE:
        return f"{status} is a failure of the app, which may be kept for {LONGEST_FAILURE:g} s at most"
    return None
