"""How an app may read a path."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.rules.caching.paths import readings


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        (b"/a/b", b"/a/b"),
        (b"/%61/b", b"/a/b"),
        (b"/%2561/b", b"/a/b"),
        (b"/%252561/b", b"/a/b"),
        (b"//a///b", b"/a/b"),
        (b"/./a/./b", b"/a/b"),
        (b"/x/../a/b", b"/a/b"),
        (b"/../a/b", b"/a/b"),
        (b"/a//../b", b"/a/b"),
        (b"/x//../a/b", b"/a/b"),
        (b"/x/..;v=1/a;/b", b"/a/b"),
        (b"/a;b/c/../b", b"/a/b"),
        (b"\\a\\b", b"/a/b"),
        (b"/a%2fb", b"/a/b"),
        (b"/a%5cb", b"/a/b"),
        (b"/a/b/", b"/a/b"),
        (b"/a/b/.", b"/a/b/"),
        (b"/a/b/c/..", b"/a/b"),
        (b"/a;x=%2f..%2fy/b", b"/a/b"),
        (b"/a/b%0a", b"/a/b"),
        (b"/a/b%0d%0A", b"/a/b"),
        (b"/a/b%0a/", b"/a/b"),
        (b"/a/b%250a", b"/a/b"),
        (b"/a%20/b%20", b"/a/b"),
        (b"/a/b%09;v", b"/a/b"),
        (b"/a/b%00", b"/a/b"),
        (b"/a%00/b", b"/a/b"),
        (b"/a/b%00.png", b"/a/b"),
        (b"/a/b%3fc", b"/a/b"),
        (b"/a/b%23c", b"/a/b"),
        (b"/a./b.", b"/a/b"),
        (b"/a/b%2e", b"/a/b"),
        (b"/a/b. .", b"/a/b"),
        (b"/", b"/"),
        (b"//", b"/"),
        (b"*", b"*"),
        (b"", b""),
    ],
)
def test_what_is_meant_is_among_the_readings(path: bytes, meant: bytes) -> None:
    assert meant in readings(path)


PARTS = [b"/", b"a", b".", b"..", b"%2f", b"%2e", b";", b"\\", b"%25", b"%", b"%00", b"%0a"]


@given(st.lists(st.sampled_from(PARTS)).map(b"".join))
def test_the_raw_path_comes_first_and_there_are_few(path: bytes) -> None:
    """So that a path of a thousand dots costs no more than it is long."""
    found = readings(b"/" + path)
    assert found[0] == b"/" + path
    assert len(found) <= 4 * 10 + 1
    assert len(set(found)) == len(found)


def test_a_plain_path_has_one_reading() -> None:
    assert readings(b"/a/b.c/d-e") == [b"/a/b.c/d-e"]
