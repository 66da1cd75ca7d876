"""Field lines combined, split, and stripped of what belongs to one hop."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.rules.caching.http_fields import combine, end_to_end, split_list

_MEMBER = st.one_of(
    st.from_regex(rb"[!#-+.-~]([!#-+.-~ ]*[!#-+.-~])?", fullmatch=True),
    st.from_regex(rb'"([ !#-\[\]-~,]|\\["\\,])*"', fullmatch=True),
)


def test_lines_of_a_name_become_one_value_without_outer_blanks() -> None:
    lines = [(b"Vary", b" a\t"), (b"x", b""), (b"VARY", b"b "), (b"x", b"1")]
    assert combine(lines) == {b"vary": b"a, b", b"x": b", 1"}


@pytest.mark.parametrize(
    ("value", "members"),
    [
        (b"", []),
        (b" , ,\t,", []),
        (b"a, b ,c", [b"a", b"b", b"c"]),
        (b'a="1, 2", b', [b'a="1, 2"', b"b"]),
        (b'"a\\", b", c', [b'"a\\", b"', b"c"]),
        (b'a, "never, ends', [b"a", b'"never, ends']),
        (b'a, "b\\', [b"a", b'"b\\']),
        (b'"a"b"c, d", e', [b'"a"b"c, d"', b"e"]),
        (b"a b, c", [b"a b", b"c"]),
    ],
)
def test_split_list(value: bytes, members: list[bytes]) -> None:
    assert split_list(value) == members


@given(st.lists(_MEMBER))
def test_split_list_gives_back_what_was_joined(members: list[bytes]) -> None:
    assert split_list(b", ".join(members)) == members
    assert split_list(b",".join([b"", *members, b" \t"])) == members


@given(st.binary())
def test_split_list_loses_no_byte_but_commas_and_blanks(value: bytes) -> None:
    kept = b"".join(split_list(value))
    assert kept.translate(None, b", \t") == value.translate(None, b", \t")


def test_fields_of_one_hop_go() -> None:
    hop = [b"connection", b"keep-alive", b"te", b"trailer", b"transfer-encoding", b"upgrade", b"proxy-connection"]
    proxy = [b"proxy-authenticate", b"proxy-authentication-info", b"proxy-authorization"]
    assert end_to_end([(name, b"x") for name in [*hop, b"a", *proxy]]) == [(b"a", b"x")]


def test_fields_that_connection_lists_go_whatever_their_case() -> None:
    lines = [(b"a", b"1"), (b"connection", b"A, close"), (b"b", b"2"), (b"c", b"3"), (b"connection", b"c")]
    assert end_to_end(lines) == [(b"b", b"2")]


@pytest.mark.parametrize(
    "name", [b"cache-control", b"vary", b"set-cookie", b"authorization", b"cookie", b"host", b"age"]
)
def test_connection_cannot_take_away_what_protects_a_response(name: bytes) -> None:
    assert end_to_end([(b"connection", name), (name, b"x")]) == [(name, b"x")]
