"""Cache-Control: what can be read counts, what cannot keeps the response out of the cache."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.rules.caching.cache_control import MALFORMED, NO_DIRECTIVES, Directives, parse_cache_control, parse_delta


@pytest.mark.parametrize(
    ("value", "directives"),
    [
        (None, NO_DIRECTIVES),
        (b"", NO_DIRECTIVES),
        (b" ,\t, ", NO_DIRECTIVES),
        (b"foo", NO_DIRECTIVES),
        (b"nothing-to-see-here", NO_DIRECTIVES),
        (b'foobar="max-age=3600"', NO_DIRECTIVES),
        (b'foobar="no-store, private", foo=bar', NO_DIRECTIVES),
        (b"MaX-aGe=3600", Directives(max_age=3600)),
        (b"max-age=003600", Directives(max_age=3600)),
        (b'max-age="3600"', Directives(max_age=3600)),
        (b'max-age="36\\00"', Directives(max_age=3600)),
        (b"max-age=0", Directives(max_age=0)),
        (b"max-age=2147483647", Directives(max_age=2**31 - 1)),
        (b"max-age=2147483649", Directives(max_age=2**31)),
        (b"max-age=" + b"9" * 5000, Directives(max_age=2**31)),
        (b"max-age=" + b"0" * 5000 + b"7", Directives(max_age=7)),
        (b"max-age=1800, max-age=1", Directives(max_age=1)),
        (b"max-age=1, max-age=1800", Directives(max_age=1)),
        (b'extension="max-age=3600", max-age=1', Directives(max_age=1)),
        (b'max-age=1, extension="max-age=3600"', Directives(max_age=1)),
        (b"s-maxage=1,max-age=3600", Directives(s_maxage=1, max_age=3600)),
        (b"no-store", Directives(no_store=True)),
        (b"No-StOrE,", Directives(no_store=True)),
        (
            b"public, must-revalidate, proxy-revalidate",
            Directives(public=True, must_revalidate=True, proxy_revalidate=True),
        ),
        (b"must-understand, no-store", Directives(must_understand=True, no_store=True)),
        (b"immutable, no-transform", Directives(immutable=True, no_transform=True)),
        (b"stale-while-revalidate=5, stale-if-error=0", Directives(stale_while_revalidate=5, stale_if_error=0)),
        (b"s-maxage=1, stale-while-revalidate", Directives(s_maxage=1)),
        (b"max-age=1, stale-if-error=-1", Directives(max_age=1)),
        (b"private", Directives(private=True)),
        (b'private="Set-Cookie, x"', Directives(private_fields=(b"set-cookie", b"x"))),
        (b"private=x", Directives(private_fields=(b"x",))),
        (b'private="x", private', Directives(private=True, private_fields=(b"x",))),
        (b'private="x y"', Directives(private=True)),
        (b'no-cache="a", no-cache="b"', Directives(no_cache_fields=(b"a", b"b"))),
        (b"no-cache", Directives(no_cache=True)),
        (b'no-cache=""', Directives(no_cache=True)),
    ],
)
def test_what_can_be_read(value: bytes | None, directives: Directives) -> None:
    assert parse_cache_control(value) == directives


@pytest.mark.parametrize(
    "value",
    [
        b"max-age",
        b"max-age=",
        b'max-age=""',
        b"max-age =3600",
        b"max-age= 3600",
        b"max-age\t=3600",
        b"max-age=-3600",
        b"max-age='3600'",
        b"max-age=3600.0",
        b"max-age=a3600",
        b"max-age=3600a",
        b"max-age=+5",
        "max-age=٣".encode(),
        b"s-maxage=x, max-age=60",
        b"max-age=60; must-revalidate",
        b"public; max-age=60",
        b"public max-age=60",
        b"max-age=60, public=yes",
        b"no-store=1, max-age=60",
        b'foo="never ends, no-store',
        b'foo="a" b, max-age=60',
        b'"max-age=60"',
        b"=60",
        b"max-age=60\x00",
        b"max-age=60\x0b",
        b'foo="\x00", max-age=60',
        b"max-age=60, \xe9",
    ],
)
def test_what_cannot_be_read_is_malformed(value: bytes) -> None:
    assert parse_cache_control(value) is MALFORMED


_PIECES = st.lists(
    st.one_of(
        st.sampled_from([b"no-store", b"private", b"max-age", b"no-cache", b"=", b",", b'"', b"\\", b" ", b"\t", b"5"]),
        st.binary(max_size=3),
    ),
    max_size=12,
).map(b"".join)


@given(st.one_of(_PIECES, st.binary()))
def test_any_bytes_give_directives_and_durations_within_bounds(value: bytes) -> None:
    found = parse_cache_control(value)
    for seconds in (found.max_age, found.s_maxage, found.stale_while_revalidate, found.stale_if_error):
        assert seconds is None or 0 <= seconds <= 2**31


@given(_PIECES, st.sampled_from([b"no-store", b"private", b"no-cache"]))
def test_nothing_before_or_after_hides_a_restriction(rubbish: bytes, restriction: bytes) -> None:
    for value in (restriction + b", " + rubbish, restriction + b"," + rubbish):
        found = parse_cache_control(value)
        assert found.malformed or found.no_store or found.private or found.no_cache
    if b'"' not in rubbish:
        found = parse_cache_control(rubbish + b", " + restriction)
        assert found.malformed or found.no_store or found.private or found.no_cache


@given(_PIECES)
def test_long_values_read_as_short_ones_do(value: bytes) -> None:
    assert parse_cache_control(value + b"," * 600) == parse_cache_control(value + b",")


@pytest.mark.parametrize("size", [200_000])
def test_hostile_length_is_read_to_its_end(size: int) -> None:
    # Reading that goes back over what it has read would take hours here.
    for rubbish in (b"\t" * size + b"\x00", b"a" * size + b"\x00", b'"' * size, b'x="' + b"a" * size, b"a=" * size):
        assert parse_cache_control(rubbish).malformed
    assert parse_cache_control(b'x="' + b"\\a" * size).malformed
    assert parse_cache_control(b'x="' + b"\\a" * size + b'", no-store').no_store
    assert parse_cache_control(b"a," * size + b"no-store").no_store
    assert parse_cache_control(b"\t" * size + b"no-store").no_store


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(b"0", 0), (b"", None), (b"-0", None), (b"1e3", None), (b" 1", None), (b"1_0", None), (b"4294967296", 2**31)],
)
def test_delta_seconds(value: bytes, seconds: int | None) -> None:
    assert parse_delta(value) == seconds
