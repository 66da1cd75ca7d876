"""Origins and targets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import UsageError
from penstock.wire.url import UrlOrigin, split_url


@pytest.mark.parametrize(
    ("url", "origin", "authority", "target"),
    [
        ("http://h", UrlOrigin("http", "h", 80), "h", "/"),
        ("HTTP://H.Example/A", UrlOrigin("http", "h.example", 80), "h.example", "/A"),
        ("https://h:443/", UrlOrigin("https", "h", 443), "h", "/"),
        ("https://h:80/", UrlOrigin("https", "h", 80), "h:80", "/"),
        ("http://h:/x", UrlOrigin("http", "h", 80), "h", "/x"),
        ("http://h?q=/", UrlOrigin("http", "h", 80), "h", "/?q=/"),
        ("http://h#/x", UrlOrigin("http", "h", 80), "h", "/"),
        ("http://h/a#b?c", UrlOrigin("http", "h", 80), "h", "/a"),
        ("http://h/a?b#c", UrlOrigin("http", "h", 80), "h", "/a?b"),
        ("http://[::1]:8080/x", UrlOrigin("http", "::1", 8080), "[::1]:8080", "/x"),
        ("http://[::FFFF:1.2.3.4]/", UrlOrigin("http", "::ffff:1.2.3.4", 80), "[::ffff:1.2.3.4]", "/"),
        ("http://a_b.c/%20", UrlOrigin("http", "a_b.c", 80), "a_b.c", "/%20"),
        ("http://h/http://x@y/", UrlOrigin("http", "h", 80), "h", "/http://x@y/"),
    ],
)
def test_urls_are_taken_apart(url: str, origin: UrlOrigin, authority: str, target: str) -> None:
    assert split_url(url) == (origin, target)
    assert origin.authority == authority


@pytest.mark.parametrize(
    "url",
    [
        "", "h", "/a", "//h/a", "http:/h", "http://", "http:///a", "http://?a", "ftp://h/", "file:///a",
        "http://u@h/", "http://u:p@h/", "http://h:0/", "http://h:65536/", "http://h:x/", "http://h:123456/",
        "http://h:-1/", "http://h /", "http://h/a b", "http://h/\t", "http://h/a\nb", "http://h/\x7f", "http://h/é",
        "http://é/", "http://h\\@x/", "http://[::1/", "http://::1/", "http://[::1]x/", "http://[fe80::1%25eth0]/",
        "http://h%2e/", " http://h/", "http://h/?a b", "http://h\r\nX: y/", "javascript:alert(1)",
    ],
)  # fmt: skip
def test_what_cannot_be_called_is_refused(url: str) -> None:
    with pytest.raises(UsageError):
        split_url(url)


def test_an_error_shows_neither_query_nor_password() -> None:
    for url in ("http://h/a b?key=secret", "http://me:secret@h/", "http://h\0/?secret", "x://me:secret@h/"):
        with pytest.raises(UsageError) as caught:
            split_url(url)
        assert "secret" not in str(caught.value)


@given(st.text(max_size=40))
def test_no_text_gets_white_space_or_control_characters_through(text: str) -> None:
    for url in (text, f"http://{text}", f"http://h/{text}"):
        try:
            origin, target = split_url(url)
        except UsageError:
            continue
        for part in (origin.authority, target):
            assert all("!" <= c <= "~" for c in part)
        assert "#" not in target
