"""The order of a query's parameters."""

from __future__ import annotations

from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.rules.caching.query_order import sort_parameters

PARAMETERS = st.lists(st.sampled_from([b"a=1", b"b=2", b"a=0", b"%61=3", b"A=4", b"c", b"b", b"", b"=x", b"b+b=1"]))


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (b"/?b=1&a=2", b"/?a=2&b=1"),
        (b"/?a=2&a=1", b"/?a=2&a=1"),
        (b"/?b&a=2&%61=1&A=0", b"/?a=2&%61=1&A=0&b"),
        (b"/?b=1;a=2&a=3", b"/?b=1;a=2&a=3"),
        (b"/?b=1&a=2?x", b"/?b=1&a=2?x"),
        (b"/b&a", b"/b&a"),
        (b"/?b=1", b"/?b=1"),
        (b"*", b"*"),
    ],
)
def test_parameters_are_sorted_by_name(target: bytes, expected: bytes) -> None:
    assert sort_parameters(target) == expected


@given(PARAMETERS)
def test_an_app_sees_the_same_lists(parameters: list[bytes]) -> None:
    """Whatever order there was: for each name, in whatever case, the same values in the same order."""
    target = b"/?" + b"&".join(parameters)
    found = sort_parameters(target)
    assert sort_parameters(found) == found

    def lists(query: bytes) -> dict[str, list[str]]:
        values: dict[str, list[str]] = {}
        for name, value in parse_qsl(query.decode(), keep_blank_values=True):
            values.setdefault(name.lower(), []).append(value)
        return values

    assert lists(found[2:]) == lists(target[2:])


@given(st.permutations([b"a=1", b"b=2", b"c", b"d=%20", b"e+f=1"]))
def test_each_order_is_one(parameters: list[bytes]) -> None:
    assert sort_parameters(b"/?" + b"&".join(parameters)) == b"/?a=1&b=2&c&d=%20&e+f=1"
