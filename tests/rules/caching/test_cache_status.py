"""Cache-Status: what a structured-field parser reads is what was meant."""

from __future__ import annotations

from typing import cast

import http_sf
from hypothesis import given
from hypothesis import strategies as st

from penstock.rules.caching.cache_status import cache_status


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
