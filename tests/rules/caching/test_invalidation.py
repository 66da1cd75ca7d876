"""Unsafe requests, and the references that tell what else they changed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.rules.caching.invalidation import invalidated, is_unsafe
from penstock.rules.caching.uri_reference import resolve

HERE = (b"https", b"example.com", b"/a/b?q")


@pytest.mark.parametrize("method", [b"POST", b"PUT", b"DELETE", b"PATCH", b"M-SEARCH", b"get", b"", b"BREW"])
def test_what_may_change_something(method: bytes) -> None:
    assert is_unsafe(method)
    assert invalidated(method, 200, *HERE, {}) == [HERE]


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"QUERY", b"PROPFIND", b"REPORT", b"SEARCH"])
def test_what_does_not(method: bytes) -> None:
    assert not is_unsafe(method)
    assert invalidated(method, 200, *HERE, {b"location": b"/x"}) == []


@pytest.mark.parametrize(
    ("status", "done"), [(200, True), (303, True), (399, True), (100, False), (404, False), (500, False)]
)
def test_only_a_success_or_a_redirect_invalidates(status: int, done: bool) -> None:
    assert bool(invalidated(b"POST", status, *HERE, {})) is done


@pytest.mark.parametrize(
    ("location", "content_location", "targets"),
    [
        (b"/x", b"/y", [b"/x", b"/y"]),
        (b"/x", b"/x", [b"/x"]),
        (b"", b"b?q", []),
        (b"https://EXAMPLE.com:443/x#f", b"//example.com", [b"/x", b"/"]),
        (b"http://example.com/x", b"https://example.com:8443/x", []),
        (b"https://evil.example/x", b"//user@example.com/x", []),
        (b"mailto:a@example.com", b"/x y", []),
        (b"/x\r\n", b"\x00", []),
    ],
)
def test_other_resources_of_the_same_origin(location: bytes, content_location: bytes, targets: list[bytes]) -> None:
    fields = {b"location": location, b"content-location": content_location}
    assert invalidated(b"POST", 201, *HERE, fields) == [HERE, *[(*HERE[:2], target) for target in targets]]


@pytest.mark.parametrize(
    ("reference", "target"),
    [
        (b"", b"/a/b?q"),
        (b"#f", b"/a/b?q"),
        (b"?x", b"/a/b?x"),
        (b"c", b"/a/c"),
        (b"c?x#f", b"/a/c?x"),
        (b"./c", b"/a/c"),
        (b"../c", b"/c"),
        (b"../../../c", b"/c"),
        (b".", b"/a/"),
        (b"..", b"/"),
        (b"c/.", b"/a/c/"),
        (b"c/../d", b"/a/d"),
        (b"/x/../%2e/y", b"/x/../%2e/y"),
        (b"c//d", b"/a/c//d"),
        (b"?x/../y", b"/a/b?x/../y"),
    ],
)
def test_references_within_an_origin(reference: bytes, target: bytes) -> None:
    assert resolve(*HERE, reference) == (*HERE[:2], target)


@pytest.mark.parametrize(
    ("reference", "meant"),
    [
        (b"http://Other.Example:80/x?y#z", (b"http", b"other.example", b"/x?y")),
        (b"HTTPS://other.example", (b"https", b"other.example", b"/")),
        (b"https://other.example?x", (b"https", b"other.example", b"/?x")),
        (b"//other.example/x", (b"https", b"other.example", b"/x")),
        (b"https://a b/", None),
        (b"https:///x", None),
        (b"https:x", None),
        (b"javascript:alert(1)", None),
    ],
)
def test_references_elsewhere(reference: bytes, meant: tuple[bytes, bytes, bytes] | None) -> None:
    assert resolve(*HERE, reference) == meant


@given(st.one_of(st.binary(max_size=20), st.text("/.?#:a@ ", max_size=12).map(str.encode)))
def test_what_is_invalidated_has_the_origin_of_the_request(reference: bytes) -> None:
    found = invalidated(b"PUT", 200, *HERE, {b"location": reference})
    assert found[0] == HERE
    assert all(one[:2] == HERE[:2] and one[2].startswith(b"/") and b"#" not in one[2] for one in found)
