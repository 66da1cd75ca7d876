"""Tags of a response: all of them, or the response is not stored."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.rules.caching.surrogate_tags import tags_of


@pytest.mark.parametrize(
    ("fields", "tags"),
    [
        ({}, ()),
        ({b"surrogate-key": b""}, ()),
        ({b"surrogate-key": b"a  b\ta c"}, (b"a", b"b", b"c")),
        ({b"surrogate-key": b"a b, c"}, (b"a", b"b", b"c")),
        ({b"cache-tag": b"a, b ,,a"}, (b"a", b"b")),
        ({b"surrogate-key": b"a", b"cache-tag": b"b,a"}, (b"a", b"b")),
        ({b"cache-tag": b"post:1,\xc3\xa9"}, (b"post:1", b"\xc3\xa9")),
        ({b"cache-tag": b"a b"}, None),
        ({b"surrogate-key": b"a\x00b"}, None),
        ({b"surrogate-key": b"a b c d e"}, None),
        ({b"cache-tag": b"a" * 21}, None),
        ({b"cache-tag": b"a" * 500}, None),
        ({b"cache-tag": b"a" * 20}, (b"a" * 20,)),
    ],
)
def test_tags(fields: dict[bytes, bytes], tags: tuple[bytes, ...] | None) -> None:
    assert tags_of(fields, max_tags=4, max_bytes=20) == tags


def test_no_tag_is_allowed_where_none_may_be() -> None:
    assert tags_of({b"cache-tag": b""}, max_tags=0, max_bytes=0) == ()
    assert tags_of({b"cache-tag": b"a"}, max_tags=0, max_bytes=0) is None


@given(st.dictionaries(st.sampled_from([b"surrogate-key", b"cache-tag"]), st.binary(max_size=30)), st.integers(0, 5))
def test_what_is_returned_keeps_every_bound(fields: dict[bytes, bytes], most: int) -> None:
    tags = tags_of(fields, max_tags=most, max_bytes=10)
    if tags is not None:
        assert len(tags) == len(set(tags)) <= most
        assert sum(map(len, tags)) <= 10
        assert not any(byte <= 0x20 or byte == 0x2C for tag in tags for byte in tag)
