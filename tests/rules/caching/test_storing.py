"""What may be stored: each refusal by its own clause, and nothing that could never be used."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.rules.caching.decisions import REASONS, Decision
from penstock.rules.caching.freshness import Freshness
from penstock.rules.caching.http_date import format_http_date
from penstock.rules.caching.http_fields import combine
from penstock.rules.caching.options import CacheOptions
from penstock.rules.caching.request import CacheRequest
from penstock.rules.caching.storing import (
    fields_to_store,
    is_outdone,
    may_keep,
    may_share,
    may_store,
    outdates,
)
from penstock.rules.caching.targeted import response_directives

NOW = 1_795_000_000.0
SAFE, RFC, LENIENT = CacheOptions(), CacheOptions(profile="rfc"), CacheOptions(lenient_origin=True)
FRESH = b"max-age=60"
STORED = {"explicit-freshness", "heuristic-freshness", "validation-only", "partial"}
"""The only reasons that let a response in; all others keep it out."""


def decide(
    response: dict[bytes, bytes],
    *,
    status: int = 200,
    method: bytes = b"GET",
    request: dict[bytes, bytes] | None = None,
    body: bool = False,
    options: CacheOptions = SAFE,
    **circumstances: Any,
) -> Decision:
    if request is None:
        request = {b"range": b"bytes=0-"} if status == 206 else {}
    asked = CacheRequest(method, b"https", b"example.com", b"/a/b?q=1", request, has_body=body)
    directives, _ = response_directives(response, options.targeted)
    decision = may_store(asked, status, response, directives, options, received_wall=NOW, **circumstances)
    # Most tests look at the reason only, and what is done goes by the other.
    assert decision.allowed is (decision.reason in STORED)
    return decision


def cc(value: bytes, **more: bytes) -> dict[bytes, bytes]:
    return {b"cache-control": value} | {name.replace("_", "-").encode(): text for name, text in more.items()}


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (cc(FRESH), "explicit-freshness"),
        (cc(b"s-maxage=60"), "explicit-freshness"),
        ({b"expires": format_http_date(NOW + 60)}, "explicit-freshness"),
        (cc(FRESH, vary=b"accept-encoding"), "explicit-freshness"),
        (cc(b"foo, " + FRESH), "explicit-freshness"),
        (cc(b"no-store", cdn_cache_control=FRESH), "explicit-freshness"),
        (cc(b"must-understand, no-store, max-age=60"), "explicit-freshness"),
        ({b"last-modified": b"Sun, 06 Nov 1994 08:49:37 GMT"}, "heuristic-freshness"),
        ({b"etag": b'"a"'}, "validation-only"),
        (cc(b"no-cache", etag=b'"a"'), "validation-only"),
        (cc(b"no-cache, max-age=60", etag=b'"a"'), "validation-only"),
        (cc(b'no-cache="x", max-age=60', etag=b'"a"'), "validation-only"),
        (cc(b"max-age=0", etag=b'"a"'), "validation-only"),
        (cc(b"max-age=0, stale-while-revalidate=60"), "validation-only"),
        (cc(b"max-age=0, stale-if-error=60"), "validation-only"),
    ],
)
def test_what_is_stored(response: dict[bytes, bytes], reason: str) -> None:
    decision = decide(response)
    assert (decision.allowed, decision.reason) == (True, reason)


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        ({}, "no-freshness"),
        (cc(b"public"), "no-freshness"),
        (cc(b"foo"), "no-freshness"),
        (cc(b"foo", cdn_cache_control=b"foo", expires=format_http_date(NOW + 60)), "no-freshness"),
        (cc(b"max-age=0"), "never-reusable"),
        (cc(b"max-age=0, must-revalidate, stale-if-error=60"), "never-reusable"),
        (cc(b"max-age=0, proxy-revalidate, stale-if-error=60"), "never-reusable"),
        ({b"vary": b"accept"}, "no-freshness"),
        (cc(b"no-cache, max-age=60"), "never-reusable"),
        (cc(b'no-cache="x", max-age=60'), "never-reusable"),
        ({b"expires": b"0"}, "never-reusable"),
        (cc(b"no-store"), "no-store"),
        (cc(b"No-Store, max-age=60"), "no-store"),
        (cc(FRESH, cdn_cache_control=b"no-store"), "no-store"),
        (cc(b"private, max-age=60"), "private"),
        (cc(b'private="x", max-age=60'), "private"),
        (cc(FRESH, cdn_cache_control=b"private"), "private"),
        (cc(FRESH, set_cookie=b"a=b"), "set-cookie"),
        (cc(b"public, max-age=60", set_cookie=b""), "set-cookie"),
        (cc(FRESH, vary=b"*"), "vary-star"),
        (cc(FRESH, vary=b"foo, *"), "vary-star"),
        (cc(FRESH, vary=b"foo bar"), "vary-malformed"),
        (cc(FRESH, vary=b'"foo"'), "vary-malformed"),
        (cc(b"max-age=60;public"), "malformed-cache-control"),
        (cc(b"max-age=-1"), "malformed-cache-control"),
        (cc(FRESH, cdn_cache_control=b"max-age=-1"), "malformed-cache-control"),
    ],
)
def test_what_is_not_stored(response: dict[bytes, bytes], reason: str) -> None:
    decision = decide(response)
    assert (decision.allowed, decision.reason) == (False, reason)


@pytest.mark.parametrize(
    "status", [200, 203, 204, 299, 301, 302, 307, 308, 400, 403, 404, 410, 451, 499, 500, 503, 599, 999]
)
def test_any_final_status_is_stored_with_a_lifetime(status: int) -> None:
    assert decide(cc(FRESH), status=status).reason == "explicit-freshness"


@pytest.mark.parametrize("status", [-1, 0, 100, 103, 199, 304, 1000, 10**9])
def test_what_is_no_final_status_is_not(status: int) -> None:
    assert decide(cc(FRESH), status=status).reason == "status-not-final"


@pytest.mark.parametrize("status", [201, 202, 302, 403, 500, 502, 503, 504, 599])
def test_a_validator_is_not_enough_for_every_status(status: int) -> None:
    modified = {b"last-modified": b"Sun, 06 Nov 1994 08:49:37 GMT"}
    assert decide(modified, status=status).reason == "no-lifetime"
    assert decide({**modified, b"cache-control": b"public"}, status=status).reason == "heuristic-freshness"


def test_must_understand_asks_for_a_status_that_is_known() -> None:
    assert decide(cc(b"must-understand, max-age=60"), status=599).reason == "status-not-understood"
    assert decide(cc(b"must-understand, no-store, max-age=60"), status=404).allowed


def test_the_statuses_that_are_understood() -> None:
    """Those of RFC 9110 that are final and in use: 206 is, 304 is no response to store. Those of RFC 6585 never are."""
    known = [200, 201, 202, 203, 204, 205, 206, 300, 301, 302, 303, 305, 307, 308]
    known += [400, 401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 411, 412, 413, 414, 415, 416, 417]
    known += [421, 422, 426, 500, 501, 502, 503, 504, 505]
    part = cc(b"must-understand, max-age=60", content_range=b"bytes 0-4/10")
    assert [status for status in range(1000) if decide(part, status=status, options=RFC).allowed] == known


@pytest.mark.parametrize(
    ("method", "response", "status", "reason"),
    [
        (b"HEAD", cc(FRESH), 200, "head"),
        (b"PUT", cc(FRESH), 200, "method"),
        (b"get", cc(FRESH), 200, "method"),
        (b"OPTIONS", cc(FRESH), 200, "method"),
        (b"QUERY", cc(FRESH), 200, "method"),
        (b"POST", cc(FRESH), 200, "method"),
        (b"POST", cc(FRESH, content_location=b"/a/b"), 200, "method"),
        (b"PUT", cc(FRESH, content_location=b"/a/b?q=1"), 200, "method"),
        (b"DELETE", cc(FRESH, content_location=b"/a/b?q=1"), 200, "method"),
        (b"POST", cc(FRESH, content_location=b"/a/b?q=1"), 199, "method"),
        (b"POST", cc(FRESH, content_location=b"/a/b?q=1"), 299, "explicit-freshness"),
        (b"POST", cc(FRESH, content_location=b"/a/b?q=1"), 300, "method"),
        (b"POST", cc(FRESH, content_location=b"/a/b?q=1"), 500, "method"),
        (b"POST", cc(FRESH, content_location=b"/a/b?q=1"), 206, "method"),
        (b"POST", cc(FRESH, content_location=b"//other.example/a/b?q=1"), 200, "method"),
        (b"POST", cc(b"no-cache", content_location=b"/a/b?q=1", etag=b'"a"'), 200, "method"),
        (b"POST", cc(b"private, max-age=60", content_location=b"/a/b?q=1"), 200, "private"),
        (b"POST", cc(FRESH, content_location=b"/a/b?q=1"), 200, "explicit-freshness"),
        (b"POST", cc(FRESH, content_location=b"b?q=1"), 201, "explicit-freshness"),
        (b"POST", cc(FRESH, content_location=b"https://EXAMPLE.com:443/a/b?q=1"), 200, "explicit-freshness"),
    ],
)
def test_methods(method: bytes, response: dict[bytes, bytes], status: int, reason: str) -> None:
    assert decide(response, method=method, status=status, body=method == b"POST").reason == reason


def test_a_get_with_a_body_is_not_stored() -> None:
    assert decide(cc(b"public, max-age=60"), body=True).reason == "body-in-get"


@pytest.mark.parametrize("credentials", [b"authorization", b"cookie"])
@pytest.mark.parametrize("value", [b"max-age=60, public", b"s-maxage=60"])
@pytest.mark.parametrize("options", [SAFE, RFC])
def test_credentials_do_not_matter_where_the_response_is_for_all(
    credentials: bytes, value: bytes, options: CacheOptions
) -> None:
    assert decide(cc(value), request={credentials: b""}, options=options).allowed


AUTHORIZATION, COOKIE = {b"authorization": b"x"}, {b"cookie": b"a=b"}
MUST_REVALIDATE = b"max-age=60, must-revalidate"


@pytest.mark.parametrize(
    ("request_", "response", "safe", "rfc"),
    [
        (AUTHORIZATION, cc(MUST_REVALIDATE), "explicit-freshness", "explicit-freshness"),
        (COOKIE, cc(MUST_REVALIDATE), "request-cookie", "explicit-freshness"),
        (AUTHORIZATION | COOKIE, cc(MUST_REVALIDATE), "request-cookie", "explicit-freshness"),
        (COOKIE, cc(MUST_REVALIDATE, vary=b"cookie"), "explicit-freshness", "explicit-freshness"),
        (AUTHORIZATION | COOKIE, cc(MUST_REVALIDATE, vary=b"cookie"), "explicit-freshness", "explicit-freshness"),
        (AUTHORIZATION | COOKIE, cc(FRESH, vary=b"cookie"), "authorization", "authorization"),
        (COOKIE, cc(b"public, " + MUST_REVALIDATE), "explicit-freshness", "explicit-freshness"),
        (COOKIE, cc(b"s-maxage=60, must-revalidate"), "explicit-freshness", "explicit-freshness"),
        (COOKIE, cc(b"must-revalidate", etag=b'"1"', expires=format_http_date(NOW + 60)), "request-cookie", None),
        (COOKIE, cc(b"max-age=60", cdn_cache_control=MUST_REVALIDATE), "request-cookie", "explicit-freshness"),
        (COOKIE, cc(b"public", cdn_cache_control=MUST_REVALIDATE), "request-cookie", "explicit-freshness"),
    ],
)
def test_must_revalidate_lets_in_authorization_only(
    request_: dict[bytes, bytes], response: dict[bytes, bytes], safe: str, rfc: str | None
) -> None:
    """RFC 9111, 3.5 says it of Authorization. Of a page with a cookie it says how old it may be, not who may see it."""
    assert decide(response, request=request_).reason == safe
    assert decide(response, request=request_, options=RFC).reason == (rfc or "explicit-freshness")


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (cc(b"s-maxage=60", vary=b"*"), "vary-star"),
        (cc(b"public, max-age=60", vary=b'"a"'), "vary-malformed"),
        (cc(b"public"), "no-freshness"),
    ],
)
def test_for_all_does_not_excuse_from_the_other_rules(response: dict[bytes, bytes], reason: str) -> None:
    """A word that lets in answers to requests with credentials decides about the credentials, and nothing else."""
    assert decide(response, request={b"cookie": b"a=b"}).reason == reason


def test_a_vary_that_names_no_field_does_not_name_cookie() -> None:
    assert decide(cc(FRESH, vary=b"*"), request={b"cookie": b"a=b"}).reason == "request-cookie"


@pytest.mark.parametrize("value", [FRESH, b"max-age=60, proxy-revalidate", b"max-age=60, immutable"])
def test_credentials_matter_otherwise(value: bytes) -> None:
    for options in (SAFE, RFC):
        response = cc(value, vary=b"authorization")
        assert decide(response, request={b"authorization": b"x"}, options=options).reason == "authorization"
    assert decide(cc(value), request={b"cookie": b"a=b"}).reason == "request-cookie"
    assert decide(cc(value), request={b"cookie": b"a=b"}, options=RFC).allowed
    assert decide(cc(value, vary=b"accept, Cookie"), request={b"cookie": b"a=b"}).allowed


def test_public_of_cache_control_is_not_public_of_the_targeted_field() -> None:
    response = cc(b"public, max-age=60", cdn_cache_control=FRESH)
    assert decide(response, request={b"authorization": b"x"}).reason == "authorization"


def test_the_rfc_profile_stores_what_the_rfc_allows() -> None:
    assert decide(cc(FRESH, set_cookie=b"a=b"), options=RFC).allowed
    assert decide(cc(b'private="x", max-age=60'), options=RFC).allowed
    assert decide(cc(b"private, max-age=60"), options=RFC).reason == "private"
    assert decide(cc(b'no-cache="x", max-age=60'), options=RFC).reason == "explicit-freshness"


def test_the_rfc_profile_cuts_out_the_fields_that_a_directive_names() -> None:
    lines = [(b"a", b"1"), (b"b", b"2"), (b"c", b"3"), (b"connection", b"close")]
    directives, _ = response_directives(cc(b'private="A", no-cache="b"'), ())
    assert fields_to_store(lines, directives, RFC) == [(b"c", b"3")]
    assert fields_to_store(lines, directives, SAFE) == lines[:3]


@pytest.mark.parametrize(
    ("content_range", "length", "strict", "lenient"),
    [
        (b"bytes 0-4/10", b"5", "partial", "partial"),
        (b"bytes 0-4/10", None, "partial", "partial"),
        (b"bytes 4-9/10", b"5", "partial-mismatch", "partial"),
        (b"bytes 4-9/10", b"6", "partial", "partial"),
        (b"bytes 0-4/10", b"5, 5", "partial-mismatch", "partial"),
        (b"bytes 5-4/10", b"0", "partial-mismatch", "partial-mismatch"),
        (b"bytes 0-9/5", b"10", "partial-mismatch", "partial-mismatch"),
        (b"items 0-4/10", b"5", "partial-mismatch", "partial-mismatch"),
        (b"bytes */10", None, "partial-mismatch", "partial-mismatch"),
        (None, b"5", "partial-mismatch", "partial-mismatch"),
    ],
)
def test_a_206_must_be_one_range_that_fits_its_length(
    content_range: bytes | None, length: bytes | None, strict: str, lenient: str
) -> None:
    response = cc(FRESH)
    if content_range is not None:
        response[b"content-range"] = content_range
    if length is not None:
        response[b"content-length"] = length
    assert decide(response, status=206).reason == strict
    assert decide(response, status=206, options=LENIENT).reason == lenient


def test_a_206_of_several_ranges_is_not_stored() -> None:
    response = cc(FRESH, content_range=b"bytes 0-4/10", content_type=b"Multipart/ByteRanges; boundary=x")
    assert decide(response, status=206).reason == "partial-mismatch"


def test_content_range_means_nothing_on_another_status() -> None:
    assert decide(cc(FRESH, content_range=b"rubbish")).allowed


_VALUES = st.sampled_from([b"", b"*", b"a", b"max-age=60", b"no-store", b"private", b"public", b"0", b"cookie", b'"x"'])
_RESPONSES = st.dictionaries(
    st.sampled_from(
        [b"cache-control", b"cdn-cache-control", b"vary", b"set-cookie", b"expires", b"etag", b"age", b"date"]
    ),
    st.one_of(_VALUES, st.binary(max_size=12)),
)
_REQUESTS = st.dictionaries(st.sampled_from([b"cookie", b"authorization", b"range"]), st.binary(max_size=4))


@given(_RESPONSES, _REQUESTS, st.integers(-10, 1100), st.sampled_from([b"GET", b"HEAD", b"POST", b"x"]), st.booleans())
def test_every_decision_is_explained_and_the_rfc_profile_never_stores_less(
    response: dict[bytes, bytes], request: dict[bytes, bytes], status: int, method: bytes, body: bool
) -> None:
    strict = decide(response, status=status, method=method, request=request, body=body)
    loose = decide(response, status=status, method=method, request=request, body=body, options=RFC)
    for decision in (strict, loose):
        assert decision.reason in REASONS
        assert decision.clause.startswith("RFC ")
    assert loose.allowed or not strict.allowed
    if strict.allowed:
        assert b"set-cookie" not in response
        assert 200 <= status <= 999


@given(st.lists(st.tuples(st.sampled_from([b"cache-control", b"vary"]), _VALUES), max_size=4))
def test_one_restriction_on_any_line_is_enough(lines: list[tuple[bytes, bytes]]) -> None:
    decision = decide(combine([(b"cache-control", FRESH), *lines]))
    if any(value in (b"no-store", b"private") for name, value in lines if name == b"cache-control"):
        assert not decision.allowed
    if any(value == b"*" for name, value in lines if name == b"vary"):
        assert not decision.allowed


@pytest.mark.parametrize(
    ("reason", "how"),
    [
        ("policy-bypass", {"bypass": True}),
        ("too-large", {"length": 11, "max_length": 10}),
        ("explicit-freshness", {"length": 10, "max_length": 10}),
        ("explicit-freshness", {"length": None, "max_length": 10}),
        ("too-many-tags", {"tags": None}),
        ("unasked-part", {"status": 206, "request": {}}),
    ],
)
def test_what_is_no_word_of_the_response(reason: str, how: dict[str, Any]) -> None:
    """The policy, the size, the tags, a part that nobody asked for."""
    assert decide(cc(FRESH), **how).reason == reason


@pytest.mark.parametrize("kind", [b"text/event-stream", b"Text/Event-Stream; charset=utf-8"])
def test_a_stream_of_events_has_no_end(kind: bytes) -> None:
    assert decide(cc(FRESH, content_type=kind)).reason == "event-stream"


def test_what_forbids_anyway_is_told_before_the_tags() -> None:
    assert decide(cc(b"private"), tags=None).reason == "private"


def test_a_body_is_kept_while_it_fits() -> None:
    """One alone may be as large as it is allowed to; many together may not."""
    assert may_keep(10, 10) is None
    assert may_keep(11, 10) == (False, "too-large", "engine")
    assert may_keep(10, 10, held_by_others=5, most_held=5) is None
    assert may_keep(1, 10, held_by_others=6, most_held=5) == (False, "no-room", "engine")


@pytest.mark.parametrize(
    ("status", "other_status", "other_received", "age", "outdone"),
    [
        (200, 200, 5.0, 0, False),
        (200, 200, 5.1, 0, True),
        (206, 206, 5.1, 0, True),
        (206, 206, 4.9, 0, False),
        (206, 200, 100.0, 9, True),
        (200, 206, 9.0, 0, False),
        (206, 200, 1.0, 9, True),
        (206, 200, 1.0, 60, False),
    ],
)
def test_what_is_newer_stays(status: int, other_status: int, other_received: float, age: int, outdone: bool) -> None:
    """A part waits until the whole is stale."""
    freshness = Freshness(60.0, "", 0.0, 0.0, None, 0.0, may_be_stale=True, must_validate=False)
    now = other_received + age
    assert is_outdone(status, 5.0, other_status, other_received, freshness, now) is outdone


ONE_CLIENTS = [406, 408, 411, 412, 413, 415, 416, 417, 422, 425, 426]


@pytest.mark.parametrize("status", ONE_CLIENTS)
@pytest.mark.parametrize("value", [FRESH, b"public, s-maxage=60", b"no-store"])
def test_an_error_that_one_client_provokes_is_for_nobody_else(status: int, value: bytes) -> None:
    """The rfc profile goes by the letter, which leaves it to the app."""
    assert decide(cc(value), status=status).reason == "provoked-error"
    assert decide(cc(value), status=status, options=RFC).allowed is (value != b"no-store")


@pytest.mark.parametrize("status", [428, 429, 431, 511])
@pytest.mark.parametrize("options", [SAFE, RFC])
def test_what_rfc_6585_forbids_to_store(status: int, options: CacheOptions) -> None:
    assert decide(cc(b"public, max-age=60"), status=status, options=options).reason == "status-forbidden"


@pytest.mark.parametrize("options", [SAFE, RFC])
@pytest.mark.parametrize("field", [b"if-match", b"if-unmodified-since", b"range"])
@pytest.mark.parametrize("status", [400, 404, 410, 412, 416, 499, 500, 503, 599, 999])
def test_an_error_to_a_condition_or_a_range_is_for_nobody_else(
    status: int, field: bytes, options: CacheOptions
) -> None:
    assert decide(cc(FRESH), status=status, request={field: b"x"}, options=options).reason == "provoked-error"


@pytest.mark.parametrize("field", [b"if-match", b"if-unmodified-since", b"range"])
@pytest.mark.parametrize("status", [200, 203, 301, 302])
def test_what_is_no_error_may_be_stored_for_them(status: int, field: bytes) -> None:
    assert decide(cc(FRESH), status=status, request={field: b"x"}).allowed


@pytest.mark.parametrize("status", [400, *ONE_CLIENTS, 428, 429, 431, 500, 503])
def test_an_error_does_not_outdate_what_is_stored(status: int) -> None:
    assert not outdates(b"GET", status, decide(cc(b"no-store"), status=status))
    assert not outdates(b"GET", status, decide(cc(b"no-store"), status=status, options=RFC))
    assert outdates(b"GET", 404, decide(cc(b"no-store"), status=404))
    assert not outdates(b"GET", 404, decide(cc(FRESH), status=404, request={b"range": b"bytes=0-"}))


@pytest.mark.parametrize(
    ("lifetime", "initial_age", "grace", "must_validate", "shared"),
    [
        (60.0, 0.0, 0.0, False, True),
        (0.0, 0.0, 0.0, False, False),
        (0.5, 0.0, 0.0, False, True),
        (60.0, 60.0, 0.0, False, False),
        (0.0, 0.0, 10.0, False, True),
        (60.0, 0.0, 10.0, True, False),
    ],
)
def test_who_waits_gets_only_what_need_not_be_validated(
    lifetime: float, initial_age: float, grace: float, must_validate: bool, shared: bool
) -> None:
    """What may not be used again without the origin's word was for who asked; the others would be using it again."""
    freshness = Freshness(lifetime, "", initial_age, grace, None, 0.0, may_be_stale=True, must_validate=must_validate)
    assert may_share(freshness) is shared


@pytest.mark.parametrize(
    ("method", "status", "reason", "outdated"),
    [
        (b"GET", 200, "no-store", True),
        (b"GET", 303, "no-store", True),
        (b"GET", 305, "no-store", True),
        (b"GET", 404, "private", True),
        (b"GET", 499, "no-freshness", True),
        (b"HEAD", 200, "no-store", False),
        (b"GET", 304, "no-store", False),
        (b"GET", 500, "no-store", False),
        (b"GET", 503, "no-store", False),
        (b"GET", 200, "authorization", False),
        (b"GET", 200, "request-cookie", False),
    ],
)
def test_which_refusals_outdate_what_is_stored(method: bytes, status: int, reason: str, outdated: bool) -> None:
    """An answer to one user says nothing of what others get; an error, or an answer without a body, nothing at all."""
    assert outdates(method, status, Decision(False, reason, "")) is outdated
