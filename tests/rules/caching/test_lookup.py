"""What becomes of a request, by what is known of it."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.rules.caching.decisions import REASONS, Decision
from penstock.rules.caching.freshness import Freshness
from penstock.rules.caching.lookup import Act, Plan, ask, is_for_all, pass_by, reuse
from penstock.rules.caching.request import CacheRequest
from penstock.rules.caching.storing import NO_ROOM

FRESHNESS = Freshness(60.0, "max-age", 0.0, 10.0, 300.0, 0.0, may_be_stale=True, must_validate=False)
PRIVATE = Decision(False, "private", "RFC 9111, 5.2.2.7")
TOO_LARGE = Decision(False, "too-large", "engine")


def request(method: bytes = b"GET", *, body: bool = False, unkeyed: bool = False, **fields: bytes) -> CacheRequest:
    raw = {name.replace("_", "-").encode(): value for name, value in fields.items()}
    return CacheRequest(method, b"http", b"example.com", b"/", raw, has_body=body, unkeyed=unkeyed)


def told(plan: Plan | None) -> tuple[Act, str, str] | None:
    if plan is None:
        return None
    assert plan.reason in REASONS
    return plan.act, plan.word, plan.reason


@pytest.mark.parametrize(
    ("asked", "more", "expected"),
    [
        (request(), {}, None),
        (request(b"HEAD"), {}, None),
        (request(if_none_match=b"*", if_modified_since=b"", if_range=b"x"), {}, None),
        (request(b"POST"), {}, ("method", "method-not-shared")),
        (request(b"get"), {}, ("method", "method-not-shared")),
        (request(b"POST", body=True), {"bypass": True}, ("bypass", "policy-bypass")),
        (request(body=True), {}, ("request", "body-in-get")),
        (request(if_match=b"*"), {}, ("request", "precondition")),
        (request(if_unmodified_since=b"x"), {}, ("request", "precondition")),
        (request(unkeyed=True), {}, ("bypass", "unkeyed-field")),
        (request(b"POST", unkeyed=True), {}, ("method", "method-not-shared")),
    ],
)
def test_what_goes_by(asked: CacheRequest, more: dict[str, bool], expected: tuple[str, str] | None) -> None:
    plan = told(pass_by(asked, **{"bypass": False, **more}))
    assert plan == (None if expected is None else (Act.STRAIGHT, *expected))


@pytest.mark.parametrize(
    ("resident", "facts", "expected"),
    [
        (59.9, {}, (Act.HIT, "hit", "fresh")),
        (59.9, {"origin_down": True}, (Act.HIT, "hit", "fresh")),
        (10, {"soft_purged": True}, (Act.STALE, "stale-while-revalidate", "purged-softly")),
        (59.5, {"soft_purged": True}, (Act.STALE, "stale-while-revalidate", "purged-softly")),
        (60, {"soft_purged": True}, (Act.STALE, "stale-while-revalidate", "stale-while-revalidate")),
        (60, {}, (Act.STALE, "stale-while-revalidate", "stale-while-revalidate")),
        (65, {"soft_purged": True}, (Act.STALE, "stale-while-revalidate", "stale-while-revalidate")),
        (70, {}, None),
        (70, {"origin_down": True}, (Act.STALE, "origin-down", "stale-if-error")),
        (361, {"origin_down": True}, None),
    ],
)
@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
def test_what_is_answered_from_the_store(resident: float, facts: dict[str, bool], expected: Any, method: bytes) -> None:
    """Only GET has a new answer fetched behind a stale one."""
    plan = reuse(method, FRESHNESS, resident, **{"soft_purged": False, "origin_down": False, **facts})
    assert told(plan) == expected
    assert plan is None or plan.refresh is (plan.act is Act.STALE and method == b"GET")


@pytest.mark.parametrize(("resident", "reason"), [(80.0, "disconnected"), (81.0, None)])
def test_an_origin_that_is_down_is_one_that_cannot_be_reached(resident: float, reason: str | None) -> None:
    """Where the response does not speak of errors, the operator's bound for a dead origin holds."""
    freshness = FRESHNESS._replace(stale_while_revalidate=0.0, stale_if_error=None, stale_when_unreachable=20.0)
    plan = reuse(b"GET", freshness, resident, soft_purged=False, origin_down=True)
    assert told(plan) == (None if reason is None else (Act.STALE, "origin-down", reason))


@pytest.mark.parametrize(
    ("method", "facts", "expected"),
    [
        (b"GET", {}, (Act.FETCH, "uri-miss", "nothing-stored")),
        (b"GET", {"others_stored": True, "varies": True}, (Act.FETCH, "vary-miss", "other-variant")),
        (b"GET", {"varies": True}, (Act.FETCH, "vary-miss", "nothing-stored")),
        (b"GET", {"others_stored": True}, (Act.FETCH, "uri-miss", "other-variant")),
        (b"GET", {"selected": FRESHNESS}, (Act.FETCH, "stale", "stale")),
        (b"GET", {"selected": FRESHNESS._replace(must_validate=True)}, (Act.FETCH, "stale", "must-validate")),
        (b"GET", {"on_its_way": True}, (Act.JOIN, "collapsed", "collapsed")),
        (b"GET", {"on_its_way": True, "selected": FRESHNESS}, (Act.JOIN, "collapsed", "collapsed")),
        (b"GET", {"on_its_way": True, "refused": PRIVATE}, (Act.JOIN, "collapsed", "collapsed")),
        (b"GET", {"refused": PRIVATE}, (Act.ALONE, "miss", "private")),
        (b"GET", {"refused": PRIVATE, "selected": FRESHNESS}, (Act.ALONE, "miss", "private")),
        (b"HEAD", {}, (Act.ALONE, "uri-miss", "nothing-stored")),
        (b"HEAD", {"on_its_way": True, "selected": FRESHNESS}, (Act.ALONE, "stale", "stale")),
    ],
)
def test_how_the_origin_is_asked(method: bytes, facts: dict[str, Any], expected: tuple[Act, str, str]) -> None:
    known = {"selected": None, "others_stored": False, "varies": False, "on_its_way": False, "refused": None}
    assert told(ask(method, **{**known, **facts})) == expected


@pytest.mark.parametrize(
    ("asked", "status", "word", "verdict", "expected"),
    [
        (request(), 200, "uri-miss", PRIVATE, True),
        (request(), 404, "miss", PRIVATE, True),
        (request(), 400, "uri-miss", PRIVATE, False),
        (request(), 429, "uri-miss", PRIVATE, False),
        (request(), 499, "uri-miss", PRIVATE, True),
        (request(), 500, "uri-miss", PRIVATE, False),
        (request(range=b"bytes=0-"), 206, "uri-miss", PRIVATE, False),
        (request(b"HEAD"), 200, "uri-miss", PRIVATE, False),
        (request(), 200, "request", PRIVATE, False),
        (request(), 200, "uri-miss", NO_ROOM, False),
        (request(), 200, "uri-miss", TOO_LARGE, True),
    ],
)
def test_which_refusals_are_remembered(
    asked: CacheRequest, status: int, word: str, verdict: Decision, expected: bool
) -> None:
    assert is_for_all(asked, status, word, verdict) is expected
