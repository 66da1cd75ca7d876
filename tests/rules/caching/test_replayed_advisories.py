"""Defects of other caches, replayed against these rules: one test for each advisory."""

from __future__ import annotations

import pytest

from penstock.rules.caching.cache_key import normalise_host, primary_key, variant_of, vary_names
from penstock.rules.caching.decisions import Decision
from penstock.rules.caching.http_fields import combine
from penstock.rules.caching.options import CacheOptions
from penstock.rules.caching.request import CacheRequest
from penstock.rules.caching.storing import may_store
from penstock.rules.caching.targeted import response_directives

NOW = 1_795_000_000.0


def decide(
    lines: list[tuple[bytes, bytes]], *, request: dict[bytes, bytes] | None = None, status: int = 200
) -> Decision:
    options = CacheOptions()
    fields = combine(lines)
    directives, _ = response_directives(fields, options.targeted)
    asked = CacheRequest(b"GET", b"https", b"example.com", b"/", request or {})
    return may_store(asked, status, fields, directives, options, received_wall=NOW)


@pytest.mark.parametrize("value", [b"*", b" *", b"* ", b"*,", b"Cookie, *", b"*, Cookie", b"*\t,Cookie"])
def test_cve_2026_6907_vary_star_is_not_stored(value: bytes) -> None:
    assert decide([(b"cache-control", b"max-age=60"), (b"vary", value)]).reason == "vary-star"
    lines = [(b"cache-control", b"max-age=60"), (b"vary", b"cookie"), (b"vary", value)]
    assert decide(lines).reason == "vary-star"


@pytest.mark.parametrize("value", [b"  Cookie", b"Cookie\t", b"Accept ,\tCookie ", b",Cookie,", b"COOKIE"])
def test_cve_2026_48587_blanks_in_vary_hide_no_name(value: bytes) -> None:
    names = vary_names({b"vary": value})
    assert names is not None
    assert b"cookie" in names
    assert variant_of(names, {b"cookie": b"user=a"}) != variant_of(names, {b"cookie": b"user=b"})


@pytest.mark.parametrize("value", [b"Cookie\x0b", b"\x0cCookie", b"Cookie\xa0", b"Coo kie", b"Cookie;"])
def test_cve_2026_48587_other_white_space_is_an_error(value: bytes) -> None:
    assert decide([(b"cache-control", b"max-age=60"), (b"vary", value)]).reason == "vary-malformed"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"PRIVATE, max-age=60", "private"),
        (b"max-age=60, Private", "private"),
        (b"max-age=60, No-Store", "no-store"),
        (b"NO-CACHE, MAX-AGE=60", "never-reusable"),
        (b"Max-Age=0", "never-reusable"),
    ],
)
def test_cve_2026_8404_directives_know_no_case(value: bytes, reason: str) -> None:
    assert decide([(b"Cache-Control", value)]).reason == reason


def test_ghsa_3h9f_r86x_qvjx_a_response_to_any_cookie_needs_vary_or_public() -> None:
    for cookie in (b"_ga=1", b"sessionid=1", b"", b"_ga=1; sessionid=1"):
        lines = [(b"cache-control", b"max-age=60"), (b"vary", b"accept-encoding")]
        assert decide(lines, request={b"cookie": cookie}).reason == "request-cookie"
        assert decide([*lines, (b"vary", b"cookie")], request={b"cookie": cookie}).allowed


@pytest.mark.parametrize("name", [b"cookie", b"accept-language", b"accept-encoding", b"x-user"])
def test_cve_2026_113593_an_absent_field_is_not_an_empty_one(name: bytes) -> None:
    assert variant_of((name,), {}) != variant_of((name,), {name: b""})
    others = tuple(sorted((name, b"zz")))
    assert variant_of(others, {name: b""}) != variant_of(others, {b"zz": b""})


@pytest.mark.parametrize(
    "value", [b'private=""', b"private=", b'private=" "', b'private=","', b'max-age=60, private=""']
)
def test_cve_2026_13697_private_without_names_is_private(value: bytes) -> None:
    assert decide([(b"cache-control", value), (b"cache-control", b"max-age=60")]).reason == "private"


@pytest.mark.parametrize(
    "value", [b'private="', b'private="\\', b'no-cache="a, max-age=60', b'="', b'"', b'private=="x"']
)
def test_cve_2026_13697_rubbish_neither_raises_nor_is_stored(value: bytes) -> None:
    lines = [(b"cache-control", b"public, max-age=60"), (b"cache-control", value)]
    assert decide(lines).reason == "malformed-cache-control"


@pytest.mark.parametrize(
    "value",
    [
        b'private ="x"',
        b'private= "x"',
        b'private = "x"',
        b'no-cache\t="set-cookie"',
        b'no-cache=\t"set-cookie"',
        b"private =x",
    ],
)
def test_ghsa_jr45_8vmc_qm54_blanks_round_the_equals_sign(value: bytes) -> None:
    assert not decide([(b"cache-control", b"public, max-age=60, " + value)]).allowed
    assert not decide([(b"cache-control", value + b", public, max-age=60")]).allowed


def test_cve_2026_109829_a_redirect_is_kept_under_the_host_that_was_asked() -> None:
    asked = [normalise_host(host, b"https") for host in (b"a.example", b"b.example", b"A.example:443")]
    keys = [primary_key(b"https", host, b"/") for host in asked if host is not None]
    assert keys[0] == keys[2] != keys[1]
    assert primary_key(b"http", b"a.example", b"/") != keys[0]


@pytest.mark.parametrize("value", [b"a=b", b"", b"a=b; Secure; HttpOnly"])
def test_undici_set_cookie_is_not_replayed(value: bytes) -> None:
    for control in (b"max-age=60", b"public, s-maxage=60", b'public, max-age=60, no-cache="x"'):
        assert decide([(b"cache-control", control), (b"etag", b'"a"'), (b"Set-Cookie", value)]).reason == "set-cookie"


def test_an_error_is_not_stored_without_saying_so() -> None:
    for status in (400, 403, 500, 502, 503):
        assert not decide(
            [(b"etag", b'"a"'), (b"last-modified", b"Sun, 06 Nov 1994 08:49:37 GMT")], status=status
        ).allowed


def test_ghsa_3g8h_86w9_wvmq_a_redirect_is_not_stored_without_a_lifetime() -> None:
    for status in (302, 303, 307):
        assert decide([(b"location", b"/login")], status=status).reason == "no-freshness"
        assert decide([(b"location", b"/login"), (b"etag", b'"a"')], status=status).reason == "no-lifetime"


def test_fat_get_the_body_is_not_in_the_key_so_the_response_is_not_stored() -> None:
    fields = {b"cache-control": b"public, max-age=60"}
    directives, _ = response_directives(fields, ())
    asked = CacheRequest(b"GET", b"https", b"example.com", b"/", {}, has_body=True)
    assert may_store(asked, 200, fields, directives, CacheOptions(), received_wall=NOW).reason == "body-in-get"


def test_cache_deception_paths_are_neither_decoded_nor_shortened() -> None:
    targets = [
        b"/account",
        b"/account/x.css",
        b"/account;x.css",
        b"/account%2fx.css",
        b"/account%00.css",
        b"/a/../account",
    ]
    assert len({primary_key(b"https", b"a", target) for target in targets}) == len(targets)
