"""URLs of pages, Link headers, and where neither may lead."""

from __future__ import annotations

import random
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import UsageError
from penstock.rules.pagination.link_header import parse_links
from penstock.rules.pagination.page_url import follow, hide, query_names, reveal, with_query


@pytest.mark.parametrize(
    ("url", "parameters", "result"),
    [
        ("http://a/x", {"page": "2"}, "http://a/x?page=2"),
        ("http://a/x?q=a+b&page=1", {"page": "2"}, "http://a/x?q=a+b&page=2"),
        ("http://a/x?q=%C3%A9", {"page[number]": "2"}, "http://a/x?q=%C3%A9&page%5Bnumber%5D=2"),
        ("http://a/x?page%5Bnumber%5D=1", {"page[number]": "2"}, "http://a/x?page%5Bnumber%5D=2"),
        ("http://a/x#top", {"c": "a&b=ü /"}, "http://a/x?c=a%26b%3D%C3%BC%20%2F"),
        ("http://a/x?flag", {}, "http://a/x?flag"),
    ],
)
def test_parameters_are_put_into_the_query(url: str, parameters: dict[str, str], result: str) -> None:
    """What was there stays as it was, but for what is given anew."""
    assert with_query(url, parameters) == result


def test_the_names_in_a_query_are_decoded() -> None:
    """As the API reads them."""
    assert query_names("http://a/x?page%5Bn%5D=1&&b") == ["page[n]", "b"]


@pytest.mark.parametrize(
    ("base", "target", "result"),
    [
        ("https://a.test/v1/x?p=1", "?p=2", "https://a.test/v1/x?p=2"),
        ("https://a.test/v1/x", "/y?p=2", "https://a.test/y?p=2"),
        ("https://a.test/v1/x", "https://a.test:443/x", "https://a.test:443/x"),
        ("https://a.test/v1/x", "http://a.test/x", "https://a.test/x"),
        ("https://a.test:8443/v1/x", "http://a.test/x", "https://a.test:8443/x"),
        ("https://a.test/v1/x", "https://b.test/x", "https://b.test/x"),
        ("http://a.test/x", "http://a.test/ü x", "http://a.test/%C3%BC%20x"),
        ("http://a.test/x", "/y#part", "http://a.test/y"),
    ],
)
def test_next_urls_are_followed(base: str, target: str, result: str) -> None:
    """Relative ones too; on the same host https stays https."""
    assert follow(base, target, ["B.test"]) == result


@pytest.mark.parametrize(
    ("target", "part"),
    [
        ("https://evil.test/x", "--allow-host evil.test"),
        ("https://a.test:9000/x", "another host"),
        ("https://a.test@evil.test/x", "another host"),
        ("//evil.test/x", "another host"),
        ("http://b.test/x", "https to http"),
        ("ftp://a.test/x", "ftp"),
        ("javascript:alert(1)", "javascript"),
        ("https://a.test:x/", "cannot be read"),
    ],
)
def test_next_urls_that_lead_astray_are_refused(target: str, part: str) -> None:
    """They would show the credentials to somebody else."""
    with pytest.raises(UsageError, match=part):
        follow("https://a.test/x", target, ["b.test"])


@pytest.mark.parametrize(
    ("base", "target", "home", "result"),
    [
        ("https://b.test/x", "?p=2", "https://a.test/x", None),
        ("https://b.test/x", "https://b.test/x", "https://a.test/x", None),
        ("https://c.test/x", "https://c.test/x", "https://a.test/x", "https://c.test/x"),
        ("https://c.test/x", "https://a.test/x", "https://a.test/x", "https://a.test/x"),
        ("https://a.test/x", "?p=2", "http://a.test/x", "https://a.test/x?p=2"),
        ("http://a.test/x", "https://a.test/x", "http://a.test/x", "https://a.test/x"),
        ("https://a.test/x", "https://a.test/x", "http://a.test:8080/x", None),
    ],
)
def test_the_credentials_are_for_the_host_that_the_user_named(
    base: str, target: str, home: str, result: str | None
) -> None:
    """And not for the one where a redirect led, or the page before came from."""
    if result is not None:
        assert follow(base, target, ["c.test"], home) == result
        return
    with pytest.raises(UsageError, match="another host"):
        follow(base, target, ["c.test"], home)


def test_a_secret_is_hidden_however_the_api_spells_it() -> None:
    """Its next URLs may encode in another way what the user's URL holds."""
    base = "https://a.test/x?key=1|2%203"
    hidden = hide("https://a.test/x?key=1%7C2+3&page=2", base)
    assert "1%7C2" not in hidden
    assert reveal(hidden, base) == "https://a.test/x?key=1%7C2+3&page=2"


@given(st.text("ab |/é+", max_size=12), st.integers(0, 10**6))
def test_a_url_is_revealed_to_the_letter(secret: str, seed: int) -> None:
    """An API may have signed its next URL as it spelt it; after a restart it was spelt as in the user's."""
    chance = random.Random(seed)
    spelt = "".join(
        chr(byte)
        if 97 <= byte <= 122 and chance.random() < 0.7
        else "%" + "".join(chance.choice([digit, digit.lower()]) for digit in f"{byte:02X}")
        for byte in secret.encode()
    )
    base, url = f"https://a.test/x?key={quote(secret)}", f"https://a.test/x?p=2&key={spelt}"
    hidden = hide(url, base)
    assert "key=" not in hidden
    assert reveal(hidden, base) == url


@given(st.lists(st.sampled_from(["key=1", "q=a", "", "page=2", "z"]), max_size=5))
def test_what_was_hidden_is_revealed(pieces: list[str]) -> None:
    """The user's own parameters do not get to the disk, and come back from it."""
    base = "https://a.test/x?key=1&q=a"
    url = "https://a.test/x?" + "&".join(pieces)
    hidden = hide(url, base)
    assert "key=1" not in hidden
    assert reveal(hidden, base) == url


@pytest.mark.parametrize(
    ("values", "links"),
    [
        (['<http://a/x?p=2>; rel="next"'], {"next": "http://a/x?p=2"}),
        (['<http://a/1>; rel="first", <http://a/2,3>; rel=next'], {"first": "http://a/1", "next": "http://a/2,3"}),
        (['<http://a/1>; title="a, b; rel=x"; rel="next"'], {"next": "http://a/1"}),
        (['<http://a/1>; rel="prev  NEXT"'], {"prev": "http://a/1", "next": "http://a/1"}),
        (["<a>; rel=next", "<b>; rel=next"], {"next": "a"}),
        (["<a>; rel=last; rel=next"], {"last": "a"}),
        (['<a>; title="say \\"hi\\", <x>; rel=next"; rel=up'], {"up": "a"}),
        (["<a>;rel=next,<b>;rel=prev"], {"next": "a", "prev": "b"}),
        (["<a> ; rel = next"], {"next": "a"}),
        (["<a>; rel='next', <b>; rel='prev up'"], {"next": "a", "prev": "b", "up": "b"}),
        (["<a>; rel=next garbage, <b>; rel=last"], {"next": "a"}),
        (["<a"], {}),
        (["a; rel=next"], {}),
        ([""], {}),
        ([], {}),
    ],
)
def test_link_headers(values: list[str], links: dict[str, str]) -> None:
    """RFC 8288: lists, quotes, commas in URLs; what is malformed is not guessed at."""
    assert parse_links(values) == links


@given(st.lists(st.text(max_size=80), max_size=3))
def test_no_link_header_raises(values: list[str]) -> None:
    """Whatever a server sends."""
    parse_links(values)
