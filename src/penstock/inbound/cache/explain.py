"""What a running cache has for a request, what it would do with it now, and why: nothing is changed by asking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ...rules.caching.cookies import cookie_names
from ...rules.caching.decisions import REASONS
from ...rules.caching.freshness import Freshness, current_age
from ...rules.caching.lookup import Act
from ...rules.caching.validation import validators
from ...stores.stored_response import StoredResponse
from .advice import Unstored
from .engine import CacheEngine
from .found import Found
from .policy import NO_POLICY, PathPolicy
from .policy_effects import Stored, effects
from .protocols import InboundRequest
from .purging import requests_for
from .to_store import place_of, to_store

MOST_VARIANTS = 100
"""So many are listed, the newest ones: a URL may have thousands, and requests wait while they are looked at."""
_OF_LIFETIME = ("status", "lifetime_s", "lifetime_from")
_SECRET = frozenset({b"authorization", b"cookie", b"proxy-authorization"})


class Explanation(NamedTuple):
    """What would happen: hit, stale, collapsed, validate, miss or bypass; why, in a sentence; the clause behind it."""

    would: str
    why: str
    clause: str


def explain_url(engine: CacheEngine, url: str, fields: Sequence[tuple[bytes, bytes]] = ()) -> dict[str, Any]:
    """All about a GET of `url` with the request fields `fields` (names in lower case), ready for JSON.

    Raises UsageError for a URL that cannot be one.
    """
    asked = zip(requests_for(url, fields), requests_for(url, fields), strict=True)
    (before, request), (other_before, other) = asked
    engine.under_policy(request)
    engine.under_policy(other)
    if not _is_known(engine, request) and _is_known(engine, other):
        before, request = other_before, other
    found = explain(engine, request)
    selected = next((each for each in found["variants"] if each["selected"]), None)
    stored = None if selected is None else Stored(*(selected[name] for name in _OF_LIFETIME))
    return {
        "url": url,
        **found,
        "policy_did": effects(before, request, engine.policy, stored=stored),
        "to_store": _to_store(engine, request, found),
    }


def _to_store(engine: CacheEngine, request: InboundRequest, found: dict[str, Any]) -> list[dict[str, Any]]:
    """What to do about the refusals, or about what would become of a request now."""
    reasons = {each["reason"]: each["status"] for each in found["refused"]}
    if not reasons and found["would"] not in ("hit", "stale", "collapsed"):
        reasons[found["reason"]] = 200
    return [
        to_store(unstored(reason, request, status), request.target, request.policy, engine.policy)
        for reason, status in reasons.items()
    ]


def unstored(reason: str, request: InboundRequest, status: int) -> Unstored:
    """What can be said of `request`, as it was put under the policy, without its answer."""
    fields = request.fields
    return Unstored(
        reason,
        status,
        restricted=None,
        credentials=b"authorization" in fields,
        cookies=cookie_names(fields.get(b"cookie", b"")),
    )


def explain(engine: CacheEngine, request: InboundRequest) -> dict[str, Any]:
    """All about `request`, which was put under the policy."""
    policy = request.policy
    found = engine.look_up(request)
    key, now = found.key, found.now
    resource = engine.store.get(key)
    selected, _ = engine.select(resource, request)
    explanation = _explanation(found, policy)
    listed = [] if resource is None else resource.newest(MOST_VARIANTS)
    if selected is not None and selected not in listed:
        listed.append(selected)
    variants = [_variant(engine, each, now, selected=each is selected) for each in listed]
    return {
        "key": text_of(key),
        "would": explanation.would,
        "why": explanation.why,
        "clause": explanation.clause,
        "reason": found.plan.reason,
        "stored": bool(variants),
        "variants": variants,
        "variants_stored": 0 if resource is None else len(resource),
        "variants_evicted": 0 if resource is None else resource.evicted,
        "refused": _refusals(engine, key, now),
        "policy": None if policy is NO_POLICY else policy.where,
        "policy_at": None if policy is NO_POLICY else place_of(policy, engine.policy),
        "clock_behind_s": engine.app_clock.behind,
        "under_way": engine.flights.under_way(key),
    }


def _is_known(engine: CacheEngine, request: InboundRequest) -> bool:
    key, now = engine.key_of(request), engine.clock.now()
    return engine.store.get(key) is not None or bool(engine.refusals.of_all_kinds(key, now))


def _explanation(found: Found, policy: PathPolicy) -> Explanation:
    """The plan by which `CacheEngine.handle` would act, in words."""
    act, _, reason, clause, _ = found.plan
    sentence = _sentence(reason)
    if act is Act.STRAIGHT:
        return (
            Explanation("bypass", sentence, f"policy, {policy.where}")
            if policy.bypass or reason == "bypass-cookie"
            else Explanation("miss", sentence, clause)
        )
    if act is Act.JOIN:
        return Explanation("collapsed", sentence, clause)
    if found.stored is not None:
        return _explanation_of_stored(found, found.stored, found.stored.freshness)
    if act is Act.ALONE:
        return Explanation("miss", f"The last answer could not be shared. {sentence}", clause)
    return Explanation("miss", sentence, clause)


def _explanation_of_stored(found: Found, stored: StoredResponse, freshness: Freshness) -> Explanation:
    act, word, reason, clause, _ = found.plan
    left = freshness.lifetime - current_age(freshness, found.now - stored.received_at)
    if act is Act.HIT:
        return Explanation("hit", f"It is fresh for another {left:,.0f} s.", freshness.lifetime_from)
    if act is Act.STALE:
        why = _sentence(reason)
        if word == "origin-down":
            why = f"The app does not answer. {why}"
        elif left <= 0:
            left += freshness.stale_while_revalidate
            why = f"It is stale and may be sent for another {left:,.0f} s while a new one is fetched."
        return Explanation("stale", why, clause)
    how = "The app is asked whether it still holds" if validators(dict(stored.fields)) else "The app is asked again"
    if act is Act.ALONE:
        return Explanation("validate", f"{how}, for each client by itself. {_sentence(reason)}", clause)
    if freshness.must_validate:
        return Explanation("validate", f"{how}: each use must be confirmed (no-cache).", clause)
    return Explanation("validate", f"{how}: it has been stale for {-left:,.0f} s.", clause)


def _variant(engine: CacheEngine, stored: StoredResponse, now: float, *, selected: bool) -> dict[str, Any]:
    freshness: Freshness = stored.freshness
    age = current_age(freshness, now - stored.received_at)
    return {
        "selected": selected,
        "state": {"valid": "valid", "soft": "purged softly", "gone": "purged"}[engine.store.state(stored)],
        "vary": variant_values(stored.vary, stored.variant),
        "status": stored.status,
        "age_s": round(age, 3),
        "lifetime_s": freshness.lifetime,
        "lifetime_from": freshness.lifetime_from,
        "remaining_s": round(freshness.lifetime - age, 3),
        "stale_while_revalidate_s": freshness.stale_while_revalidate,
        "stale_if_error_s": freshness.stale_if_error,
        "stale_when_unreachable_s": freshness.stale_when_unreachable,
        "must_validate": freshness.must_validate,
        "tags": [text_of(tag) for tag in stored.tags],
        "hits": stored.hits,
        "body_bytes": len(stored.body),
        "charged_bytes": stored.size,
    }


def variant_values(vary: Sequence[bytes], variant: bytes) -> Mapping[str, str | None]:
    """The values of the request fields that a variant is for, None for a field that was absent; secrets are hidden.

    It reads what `rules.caching.cache_key.variant_of` wrote.
    """
    values: dict[str, str | None] = {}
    at = 0
    for name in vary:
        at += len(name)
        if variant[at : at + 1] == b"{":
            end = variant.index(b"}", at)
            values[text_of(name)] = f"any that leads to {text_of(variant[at + 1 : end])}"
            at = end + 1
            continue
        if variant[at : at + 1] != b"=":
            values[text_of(name)] = None
            at += 1
            continue
        colon = variant.index(b":", at)
        end = colon + 1 + int(variant[at + 1 : colon])
        values[text_of(name)] = "(hidden)" if name in _SECRET else text_of(variant[colon + 1 : end])
        at = end
    return values


def _refusals(engine: CacheEngine, key: bytes, now: float) -> list[dict[str, Any]]:
    """Why the last answers were not stored: to anybody, and to requests with credentials or cookies.

    `side_by_side`: as long as that is remembered, requests do not wait for each other.
    """
    return [
        {
            "reason": refusal.verdict.reason,
            "sentence": _sentence(refusal.verdict.reason),
            "clause": refusal.verdict.clause,
            "status": refusal.status,
            "to_requests_with": whose or None,
            "side_by_side": refusal.for_all,
            "forgotten_in_s": round(refusal.until - now, 1),
        }
        for whose, refusal in engine.refusals.of_all_kinds(key, now)
    ]


def _sentence(reason: str) -> str:
    return REASONS.get(reason, reason)


def text_of(data: bytes) -> str:
    """For people: what is not UTF-8 is escaped."""
    return data.decode("utf-8", "backslashreplace")
