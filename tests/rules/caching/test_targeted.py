"""CDN-Cache-Control: strictly a structured field or not there at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.rules.caching.cache_control import Directives
from penstock.rules.caching.targeted import parse_targeted, response_directives

_TARGETED = (b"my-cache-control", b"cdn-cache-control")


@pytest.mark.parametrize(
    ("value", "directives"),
    [
        (b"max-age=3600", Directives(max_age=3600)),
        (b"max-age=99999999999", Directives(max_age=2**31)),
        (b"foobar, max-age=3600;x=1", Directives(max_age=3600)),
        (b"max-age=1, max-age=2", Directives(max_age=2)),
        (b"max-age=-1", Directives(malformed=True, targeted=False)),
        (b"foo", Directives()),
        (b"no-store, private, no-cache", Directives(no_store=True, private=True, no_cache=True)),
        (b"no-store=?0, private=?0", Directives()),
        (b"no-store=1", Directives(no_store=True)),
        (b'private="a, b", no-cache=c', Directives(private_fields=(b"a", b"b"), no_cache_fields=(b"c",))),
        (b"no-cache=(a b)", Directives(no_cache=True)),
        (b"s-maxage=5, must-revalidate", Directives(s_maxage=5, must_revalidate=True)),
        (b'max-age=5, stale-if-error="9", stale-while-revalidate=-1', Directives(max_age=5)),
        (b"max-age=5, stale-while-revalidate=9", Directives(max_age=5, stale_while_revalidate=9)),
    ],
)
def test_a_valid_field_decides(value: bytes, directives: Directives) -> None:
    found = parse_targeted(value)
    assert found is not None
    assert found.targeted is not found.malformed
    for name in Directives.__slots__:
        assert name == "targeted" or getattr(found, name) == getattr(directives, name), name


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"  ",
        b"max-age=10000, &&&&&",
        b'max-age="10000"',
        b"max-age=1.5",
        b"max-age",
        b"max-age =100",
        b"max-age= 100",
        b"MaX-aGe=3600",
        b"max-age=9999999999999999",
        b"max-age=5,",
        b"max-age=5; ",
        b"\xff",
        b"a=@999999999999999, max-age=1",
    ],
)
def test_an_invalid_field_is_ignored_as_a_whole(value: bytes) -> None:
    assert parse_targeted(value) is None
    fields = {b"cdn-cache-control": value, b"cache-control": b"no-store"}
    assert response_directives(fields, _TARGETED) == (Directives(no_store=True), b"cache-control")


def test_the_first_valid_target_decides_alone() -> None:
    fields = {b"cdn-cache-control": b"max-age=1", b"my-cache-control": b"max-age=2", b"cache-control": b"no-store"}
    assert response_directives(fields, _TARGETED) == (Directives(max_age=2, targeted=True), b"my-cache-control")
    fields[b"my-cache-control"] = b"!"
    assert response_directives(fields, _TARGETED) == (Directives(max_age=1, targeted=True), b"cdn-cache-control")
    assert response_directives(fields, ()) == (Directives(no_store=True), b"cache-control")
    assert response_directives({}, _TARGETED) == (Directives(), b"cache-control")


@given(
    st.one_of(
        st.binary(),
        st.text("max-age=0123456789no-stre,;()\"\\?@:%* .'", max_size=40).map(str.encode),
        st.binary(max_size=8).map(lambda tail: b"max-age=1, a=" + tail),
    )
)
def test_any_bytes_are_directives_or_nothing(value: bytes) -> None:
    found = parse_targeted(value)
    assert found is None or found.malformed or found.targeted
