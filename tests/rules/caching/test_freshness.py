"""Age, lifetime and what stale responses may still do."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.rules.caching.freshness import (
    Freshness,
    Use,
    current_age,
    freshness_of,
    generated_age,
    may_serve_on_error,
    remaining,
    use_of,
)
from penstock.rules.caching.http_date import format_http_date
from penstock.rules.caching.options import CacheOptions
from penstock.rules.caching.targeted import response_directives

NOW = 1_795_000_000.0
SAFE = CacheOptions()


def at(seconds: float) -> bytes:
    return format_http_date(NOW + seconds)


def fresh(
    fields: dict[bytes, bytes],
    *,
    status: int = 200,
    options: CacheOptions = SAFE,
    delay: float = 0.0,
    received: float = NOW,
) -> Freshness:
    directives, _ = response_directives(fields, options.targeted)
    return freshness_of(status, fields, directives, options, response_delay=delay, received_wall=received)


@pytest.mark.parametrize(
    ("fields", "lifetime"),
    [
        ({}, 0.0),
        ({b"cache-control": b"max-age=60"}, 60.0),
        ({b"cache-control": b"max-age=1, s-maxage=3600", b"expires": at(-10)}, 3600.0),
        ({b"cache-control": b"max-age=0", b"expires": at(3600)}, 0.0),
        ({b"cache-control": b"max-age=60, x y", b"expires": at(3600)}, 0.0),
        ({b"expires": at(300)}, 300.0),
        ({b"expires": at(300), b"date": at(400)}, 0.0),
        ({b"expires": at(10), b"date": at(-10)}, 20.0),
        ({b"expires": at(10), b"date": b"foo"}, 10.0),
        ({b"expires": b"0"}, 0.0),
        ({b"expires": at(10) + b", " + at(10)}, 0.0),
        ({b"expires": b"Fri, 31 Dec 9999 23:59:59 GMT"}, 2.0**31),
        ({b"cdn-cache-control": b"max-age=7", b"cache-control": b"s-maxage=1", b"expires": at(300)}, 7.0),
        ({b"cdn-cache-control": b"foo", b"expires": at(300)}, 0.0),
        ({b"last-modified": at(-1000), b"date": at(0)}, 100.0),
        ({b"last-modified": at(-1000), b"date": at(-500)}, 50.0),
        ({b"last-modified": at(-1000), b"pragma": b"No-Cache"}, 0.0),
        ({b"last-modified": at(-(10**8))}, 86400.0),
        ({b"last-modified": at(1000)}, 0.0),
        ({b"last-modified": b"yesterday"}, 0.0),
    ],
)
def test_lifetime(fields: dict[bytes, bytes], lifetime: float) -> None:
    assert fresh(fields).lifetime == lifetime


@pytest.mark.parametrize("status", [200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501])
def test_heuristics_serve_statuses_of_rfc_9110_15_1(status: int) -> None:
    assert fresh({b"last-modified": at(-1000)}, status=status).lifetime == 100.0


@pytest.mark.parametrize("status", [201, 202, 302, 307, 400, 403, 429, 500, 502, 503, 504, 599])
def test_other_statuses_need_public_for_heuristics(status: int) -> None:
    fields = {b"last-modified": at(-1000)}
    assert fresh(fields, status=status).lifetime == 0.0
    assert fresh({**fields, b"cache-control": b"public"}, status=status).lifetime == 100.0


def test_heuristics_follow_the_options() -> None:
    fields = {b"last-modified": at(-1000)}
    assert fresh(fields, options=CacheOptions(heuristic_share=0.0)).lifetime == 0.0
    assert fresh(fields, options=CacheOptions(heuristic_share=0.5, heuristic_max=9.0)).lifetime == 9.0


@pytest.mark.parametrize(
    ("fields", "delay", "received", "age"),
    [
        ({}, 0.0, NOW, 0.0),
        ({b"age": b"30"}, 0.0, NOW, 30.0),
        ({b"age": b"30"}, 2.5, NOW, 32.5),
        ({}, 2.5, NOW, 2.5),
        ({b"date": at(-120)}, 0.0, NOW, 0.0),
        ({b"date": at(-120)}, 2.5, NOW, 2.5),
        ({b"date": at(-10), b"age": b"5"}, 0.0, NOW, 5.0),
        ({b"date": at(-10), b"age": b"5", b"via": b"1.1 a"}, 0.0, NOW, 5.0),
        ({b"date": at(-10), b"via": b"1.1 a"}, 0.0, NOW, 0.0),
        ({b"date": at(-10), b"via": b"1.0 a"}, 0.0, NOW, 10.0),
        ({b"date": at(-10), b"age": b"5", b"via": b"1.1 b, 1.0 a"}, 0.0, NOW, 10.0),
        ({b"date": at(100), b"via": b"1.0 a"}, 0.0, NOW, 0.0),
        ({b"date": at(-10), b"via": b"1.0 a"}, 0.0, math.nan, 0.0),
        ({b"date": at(0), b"via": b"1.0 a"}, 0.0, NOW + 0.9, 0.0),
        ({b"date": at(-10), b"age": b"15"}, 0.0, NOW, 15.0),
        ({b"date": at(0)}, 0.0, NOW + 0.9, 0.0),
        ({b"date": at(100)}, 0.0, NOW, 0.0),
        ({b"date": b"foo"}, 0.0, NOW, 0.0),
        ({b"age": b"7200, 0"}, 0.0, NOW, 7200.0),
        ({b"age": b"0, 7200"}, 0.0, NOW, 0.0),
        ({b"age": b", 7"}, 0.0, NOW, 7.0),
        ({b"age": b"abc"}, 0.0, NOW, 0.0),
        ({b"age": b"-7200"}, 0.0, NOW, 0.0),
        ({b"age": b"7200.0"}, 0.0, NOW, 0.0),
        ({b"age": b"7200;foo=bar"}, 0.0, NOW, 0.0),
        ({b"age": b"2147483649"}, 0.0, NOW, 2.0**31),
        ({b"age": b"9" * 5000}, 1.0, NOW, 2.0**31),
        ({b"date": at(0)}, 0.0, NOW - 50, 0.0),
        ({}, -5.0, NOW, 0.0),
        ({}, math.nan, NOW, 0.0),
        ({}, math.inf, NOW, 0.0),
        ({b"date": at(0)}, 0.0, math.nan, 0.0),
        ({b"date": at(0)}, 0.0, math.inf, 0.0),
        ({b"date": at(0)}, 0.0, -math.inf, 0.0),
    ],
)
def test_age_at_receipt(fields: dict[bytes, bytes], delay: float, received: float, age: float) -> None:
    assert fresh(fields, delay=delay, received=received).initial_age == age


@pytest.mark.parametrize(
    ("value", "resident", "use"),
    [
        (b"max-age=60", 0.0, Use.FRESH),
        (b"max-age=60", 59.9, Use.FRESH),
        (b"max-age=60", 60.0, Use.VALIDATE),
        (b"max-age=60", -5.0, Use.FRESH),
        (b"max-age=60", math.nan, Use.FRESH),
        (b"max-age=60", math.inf, Use.VALIDATE),
        (b"max-age=0", 0.0, Use.VALIDATE),
        (b"", 0.0, Use.VALIDATE),
        (b"no-cache, max-age=60", 0.0, Use.VALIDATE),
        (b'no-cache="x", max-age=60', 0.0, Use.VALIDATE),
        (b"x y, max-age=60", 0.0, Use.VALIDATE),
        (b"max-age=60, stale-while-revalidate=30", 60.0, Use.STALE_WHILE_REVALIDATE),
        (b"max-age=60, stale-while-revalidate=30", 90.0, Use.VALIDATE),
        (b"max-age=60, stale-while-revalidate=30, must-revalidate", 60.0, Use.VALIDATE),
        (b"max-age=60, stale-while-revalidate=30, proxy-revalidate", 60.0, Use.VALIDATE),
        (b"s-maxage=60, stale-while-revalidate=30", 60.0, Use.STALE_WHILE_REVALIDATE),
    ],
)
def test_use(value: bytes, resident: float, use: Use) -> None:
    assert use_of(fresh({b"cache-control": value}), resident) is use


def test_qualified_no_cache_binds_only_the_safe_profile() -> None:
    fields = {b"cache-control": b'no-cache="x", max-age=60'}
    assert use_of(fresh(fields, options=CacheOptions(profile="rfc")), 0.0) is Use.FRESH


@pytest.mark.parametrize(
    ("value", "resident", "use"),
    [
        (b"max-age=60", 10.0, Use.STALE_WHILE_REVALIDATE),
        (b"max-age=60, must-revalidate", 10.0, Use.STALE_WHILE_REVALIDATE),
        (b"max-age=60", 61.0, Use.VALIDATE),
        (b"max-age=60, no-cache", 10.0, Use.VALIDATE),
    ],
)
def test_after_a_soft_purge_only_what_is_still_fresh_is_sent_once_more(value: bytes, resident: float, use: Use) -> None:
    assert use_of(fresh({b"cache-control": value}), resident, soft_purged=True) is use


@pytest.mark.parametrize(
    ("value", "stale_for", "reasons"),
    [
        (b"max-age=60", -1.0, ("still-fresh",) * 2),
        (b"max-age=60", 5.0, ("disconnected", "origin-answered")),
        (b"max-age=60", 86401.0, ("disconnected-over", "origin-answered")),
        (b"max-age=60, stale-if-error=60", 60.0, ("stale-if-error",) * 2),
        (b"max-age=60, stale-if-error=60", 61.0, ("stale-if-error-over",) * 2),
        (b"max-age=60, stale-if-error=0", 1.0, ("stale-if-error-over",) * 2),
        (b"s-maxage=60, stale-if-error=60", 60.0, ("stale-if-error",) * 2),
        (b"max-age=60, must-revalidate, stale-if-error=60", 5.0, ("stale-forbidden",) * 2),
        (b"max-age=60, proxy-revalidate, stale-if-error=60", 5.0, ("stale-forbidden",) * 2),
        (b"max-age=60, s-maxage=60", 5.0, ("stale-forbidden",) * 2),
        (b"max-age=60, no-cache, stale-if-error=60", 5.0, ("stale-forbidden",) * 2),
        (b"max-age=60, no-cache", -5.0, ("stale-forbidden",) * 2),
        (b"max-age=60, x y", 5.0, ("stale-forbidden",) * 2),
    ],
)
def test_when_the_origin_fails(value: bytes, stale_for: float, reasons: tuple[str, str]) -> None:
    found = fresh({b"cache-control": value})
    for disconnected, reason in zip((True, False), reasons, strict=True):
        decision = may_serve_on_error(found, 60.0 + stale_for, disconnected=disconnected)
        assert decision.reason == reason
        assert decision.allowed is (reason in ("still-fresh", "disconnected", "stale-if-error"))


def test_a_dead_origin_counts_only_as_long_as_the_options_say() -> None:
    never = fresh({b"cache-control": b"max-age=1"}, options=CacheOptions(stale_when_unreachable=0.0))
    assert not may_serve_on_error(never, 1.5, disconnected=True).allowed


_VALUES = st.sampled_from(
    [b"max-age=60", b"max-age=5, stale-while-revalidate=9", b"s-maxage=9", b"no-cache", b"", b"x y"]
)
_FIELDS = st.fixed_dictionaries(
    {b"cache-control": _VALUES},
    optional={
        b"age": st.one_of(st.binary(max_size=8), st.integers(0, 10**12).map(lambda n: b"%d" % n)),
        b"date": st.one_of(st.binary(max_size=8), st.floats(-1e6, 1e6).map(at)),
        b"expires": st.one_of(st.binary(max_size=8), st.floats(-1e6, 1e6).map(at)),
        b"last-modified": st.one_of(st.binary(max_size=8), st.floats(-1e6, 1e6).map(at)),
    },
)
_ANY = st.one_of(st.floats(), st.integers(-(10**20), 10**20).map(float))


@given(_FIELDS, _ANY, _ANY, _ANY)
def test_no_number_is_ever_negative_or_not_finite(
    fields: dict[bytes, bytes], delay: float, received: float, resident: float
) -> None:
    found = fresh(fields, delay=delay, received=received)
    bounds = (found.lifetime, found.initial_age, found.stale_while_revalidate, found.stale_when_unreachable)
    assert all(0.0 <= number <= 2.0**31 for number in bounds)
    assert current_age(found, resident) >= 0.0
    assert 0 <= generated_age(found, resident) <= 2**31


_ORDER = [Use.FRESH, Use.STALE_WHILE_REVALIDATE, Use.VALIDATE]


@given(_FIELDS, st.floats(0, 1e6), st.floats(0, 1e6))
def test_waiting_never_makes_fresher(fields: dict[bytes, bytes], one: float, other: float) -> None:
    found = fresh(fields)
    early, late = sorted((one, other))
    assert current_age(found, early) <= current_age(found, late)
    assert generated_age(found, early) <= generated_age(found, late)
    assert remaining(found, early) >= remaining(found, late)
    assert _ORDER.index(use_of(found, early)) <= _ORDER.index(use_of(found, late))
    for disconnected in (True, False):
        later = may_serve_on_error(found, late, disconnected=disconnected).allowed
        assert may_serve_on_error(found, early, disconnected=disconnected).allowed or not later


@given(_FIELDS, st.integers(0, 10**6), st.integers(0, 10**6))
def test_a_greater_age_from_upstream_never_makes_fresher(fields: dict[bytes, bytes], one: int, other: int) -> None:
    less, more = sorted((one, other))
    young, old = fresh({**fields, b"age": b"%d" % less}), fresh({**fields, b"age": b"%d" % more})
    assert young.initial_age <= old.initial_age
    assert _ORDER.index(use_of(young, 0.0)) <= _ORDER.index(use_of(old, 0.0))


@pytest.mark.parametrize(
    "wrong",
    [
        {"profile": "fast"},
        {"heuristic_max": -1.0},
        {"heuristic_share": math.nan},
        {"stale_when_unreachable": math.inf},
        {"max_tags": -1},
        {"targeted": ("cdn-cache-control",)},
        {"targeted": (b"CDN-Cache-Control",)},
        {"targeted": (b"",)},
        {"targeted": (b"a b",)},
        {"targeted": (b"cache-control",)},
        {"targeted": (b"cdn-cache-control", b"expires")},
    ],
)
def test_options_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        CacheOptions(**wrong)  # type: ignore[arg-type]  # wrong on purpose
