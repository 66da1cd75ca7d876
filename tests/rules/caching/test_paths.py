"""How an app may read a path."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.rules.caching.paths import climbs, readings


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


UP = [
    *(
        b"/a/../b",
        b"/a/..",
        b"/a/../",
        b"/..",
        b"/a/%2e%2e/b",
        b"/a/.%2E/b",
        b"/a/..%2fb",
        b"/a%2f..%2fb",
        b"/a/..%5cb",
    ),
    *(b"/a\\..\\b", b"/a/..;/b", b"/a/..;v=1/b", b"/a/%2e%2e%3b/b", b"/a/%252e%252e/b", b"/a/..%25252fb", b"/a/..%00"),
    *(b"/a/..%20/b", b"/a/..%23b", b"/a/..%3fb", b"/a/..%0a/b"),
]


@pytest.mark.parametrize("path", UP)
def test_a_path_that_leads_up_is_seen(path: bytes) -> None:
    assert climbs(path)


@pytest.mark.parametrize(
    "path",
    [b"/a/b", b"/a..b/", b"/..a", b"/a/...", b"/a/b..", b"/v1..2/", b"/%2e/a", b"/a%2e%2e", b"*", b"/a/.", b"/%"],
)
def test_dots_in_a_name_lead_nowhere(path: bytes) -> None:
    assert not climbs(path)


PIECES = (
    b"..",
    b".",
    b"/",
    b"a",
    b"%2e",
    b"%2F",
    b"%25",
    b"2e",
    b";",
    b"%3b",
    b"\\",
    b"%5c",
    b"%00",
    b"%20",
    b"?",
    b"%23",
)


@settings(max_examples=2000)
@given(st.lists(st.sampled_from(PIECES), max_size=8).map(lambda pieces: b"/s/" + b"".join(pieces)))
def test_whatever_reading_leaves_the_beginning_was_seen(path: bytes) -> None:
    """Of a path that begins with `/s/`, each reading begins with it, or it climbs."""
    assert climbs(path) or all(each.startswith((b"/s/", b"\\s\\")) or each == b"/s" for each in readings(path))
