"""Cache-Status: what a structured-field parser reads is what was meant."""

from __future__ import annotations

from typing import Any, cast

import http_sf
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.rules.caching.cache_status import Told, cache_status, read_cache_status


def test_a_hit_was_not_forwarded() -> None:
    assert (
        cache_status(b"penstock", hit=True, ttl=30, fwd="miss", stored=True, collapsed=True) == b"penstock; hit; ttl=30"
    )


def test_a_miss_tells_all() -> None:
    member = cache_status(
        b"penstock",
        hit=False,
        fwd="uri-miss",
        ttl=-5,
        stored=True,
        collapsed=True,
        detail="x y",
    )
    assert member == b'penstock; fwd=uri-miss; ttl=-5; stored; collapsed; detail="x y"'


@given(
    st.binary(min_size=1, max_size=12),
    st.booleans(),
    st.one_of(st.none(), st.text(max_size=8)),
    st.one_of(st.none(), st.integers()),
    st.one_of(st.none(), st.text(max_size=12)),
)
def test_any_value_gives_one_valid_member(
    name: bytes, hit: bool, fwd: str | None, ttl: int | None, detail: str | None
) -> None:
    member = cache_status(name, hit=hit, fwd=fwd, ttl=ttl, stored=True, collapsed=True, detail=detail)
    parsed = http_sf.parse(member, tltype="list")
    assert isinstance(parsed, list)
    assert len(parsed) == 1
    _, parameters = cast("tuple[object, dict[str, object]]", parsed[0])
    assert ("hit" in parameters) is hit
    assert ("fwd" in parameters) is (fwd is not None and not hit)
    assert ("stored" in parameters) is ("collapsed" in parameters) is not hit
    assert ("ttl" in parameters) is (ttl is not None)
    if detail is not None and all(0x20 <= ord(letter) <= 0x7E for letter in detail):
        assert str(parameters["detail"]) == detail


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"hit": True, "ttl": 59}, Told("hit")),
        ({"hit": True, "ttl": -3, "detail": "stale-while-revalidate"}, Told("stale", None, "stale-while-revalidate")),
        ({"hit": False, "fwd": "uri-miss"}, Told("miss", "uri-miss")),
        ({"hit": False, "fwd": "uri-miss", "stored": True}, Told("miss", "uri-miss", None, stored=True)),
        (
            {"hit": False, "fwd": "uri-miss", "stored": True, "collapsed": True},
            Told("collapsed", "uri-miss", None, stored=True),
        ),
        ({"hit": False, "fwd": "stale"}, Told("miss", "stale")),
        ({"hit": False, "fwd": "miss", "detail": "set-cookie"}, Told("miss", "miss", "set-cookie")),
        ({"hit": False, "fwd": "method"}, Told("bypass", "method")),
        ({"hit": False, "fwd": "request"}, Told("bypass", "request")),
        ({"hit": False, "fwd": "bypass", "detail": "a b; hit"}, Told("bypass", "bypass", "a b; hit")),
        ({"hit": False, "fwd": "uri-miss", "detail": "connect"}, Told("miss", "uri-miss", "connect")),
    ],
)
def test_what_was_written_is_read_again(said: dict[str, Any], told: Told) -> None:
    assert read_cache_status(cache_status(b"penstock", **said)) == told
