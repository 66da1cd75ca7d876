"""Keys: what is the same has one, what is not has two, and nothing can be forged."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.rules.caching.cache_key import drop_parameters, normalise_host, primary_key, variant_of, vary_names


@pytest.mark.parametrize(
    ("host", "scheme", "normal"),
    [
        (b"Example.COM", b"http", b"example.com"),
        (b"example.com:80", b"http", b"example.com"),
        (b"example.com:443", b"https", b"example.com"),
        (b"example.com:0443", b"https", b"example.com"),
        (b"example.com:", b"http", b"example.com"),
        (b"example.com:443", b"http", b"example.com:443"),
        (b"example.com:08080", b"http", b"example.com:8080"),
        (b"example.com.", b"http", b"example.com."),
        (b"my_app-1", b"http", b"my_app-1"),
        (b"127.0.0.1:8000", b"http", b"127.0.0.1:8000"),
        (b"[::1]", b"http", b"[::1]"),
        (b"[0:0:0:0:0:0:0:1]:80", b"http", b"[::1]"),
        (b"[2001:DB8::1]:8080", b"http", b"[2001:db8::1]:8080"),
    ],
)
def test_a_host_has_one_form(host: bytes, scheme: bytes, normal: bytes) -> None:
    assert normalise_host(host, scheme) == normal


@pytest.mark.parametrize(
    "host",
    [
        b"",
        b".",
        b"..",
        b"a..b",
        b".a",
        b"a b",
        b" a",
        b"a\t",
        b"a\n",
        b"a\x00",
        b"user@a",
        b"a/b",
        b"a?b",
        b"a#b",
        b"a,b",
        b"a%2eb",
        b"\xe9",
        b"a:b",
        b"a:0",
        b"a:65536",
        b"a:80:80",
        b"a:+1",
        b"::1",
        b"[::1",
        b"[::1]x",
        b"[fe80::1%25eth0]",
        b"[1:2]",
        b"[:::]",
        b"[]",
        b"a" * 300,
    ],
)
def test_what_is_no_host(host: bytes) -> None:
    assert normalise_host(host, b"http") is None


@given(
    st.one_of(st.binary(max_size=40), st.text("aA.:0[]-_1@ ", max_size=12).map(str.encode)),
    st.sampled_from([b"http", b"https"]),
)
def test_normalising_twice_changes_nothing(host: bytes, scheme: bytes) -> None:
    once = normalise_host(host, scheme)
    if once is not None:
        assert normalise_host(once, scheme) == once
        assert not set(once) & set(b" /@?#\\%")


_HOSTS = st.sampled_from([b"a", b"b", b"a.b", b"a:8080", b"[::1]", b"[::1]:1"])
_SCHEMES = st.sampled_from([b"http", b"https"])
_TARGETS = st.one_of(st.binary(max_size=10), st.sampled_from([b"/", b"*", b"", b".b/", b":8080/", b"//a", b"://a/"]))


@given(st.tuples(_SCHEMES, _HOSTS, _TARGETS), st.tuples(_SCHEMES, _HOSTS, _TARGETS))
def test_only_the_same_uri_gives_the_same_key(
    one: tuple[bytes, bytes, bytes], other: tuple[bytes, bytes, bytes]
) -> None:
    assert (primary_key(*one) == primary_key(*other)) is (one == other)


def test_the_target_keeps_its_bytes() -> None:
    assert primary_key(b"https", b"a", b"/%2F/../x;y?b&a") == b"https://a/%2F/../x;y?b&a"


@pytest.mark.parametrize(
    ("target", "left"),
    [
        (b"/a", b"/a"),
        (b"/a?", b"/a?"),
        (b"/a?utm_source=x", b"/a"),
        (b"/a?b=1&utm_source=x&c=%20&utm_x&gclid=5&d", b"/a?b=1&c=%20&d"),
        (b"/a?&&b=1&gclid=", b"/a?&&b=1"),
        (b"/a?xutm_y=1&Utm_z=2&gclid2=3", b"/a?xutm_y=1&Utm_z=2&gclid2=3"),
        (b"/a?utm%5Fsource=x", b"/a?utm%5Fsource=x"),
        (b"/a?b=utm_source", b"/a?b=utm_source"),
        (b"/a?fb1=1&fb22=2", b"/a?fb22=2"),
        (b"/utm_a?a.b=1&aXb=2", b"/utm_a?aXb=2"),
        (b"/a?utm_x=1;callback=evil", b"/a?utm_x=1;callback=evil"),
        (b"/a?utm_x=1?callback=evil", b"/a?utm_x=1?callback=evil"),
    ],
)
def test_drop_parameters(target: bytes, left: bytes) -> None:
    assert drop_parameters(target, (b"utm_*", b"gclid", b"fb?", b"a.b")) == left
    assert drop_parameters(target, ()) == target


@given(st.text("ab*?", max_size=6), st.text("ab", max_size=8))
def test_globs_match_as_those_of_a_shell(pattern: str, name: str) -> None:
    dropped = drop_parameters(b"/?" + name.encode(), (pattern.encode(),)) == b"/"
    assert dropped is fnmatchcase(name, pattern)


@given(st.binary(max_size=40))
def test_dropping_takes_nothing_else_and_is_done_at_once(target: bytes) -> None:
    left = drop_parameters(target, (b"a*", b"?"))
    assert drop_parameters(left, (b"a*", b"?")) == left
    assert left.partition(b"?")[0] == target.partition(b"?")[0]
    parts = iter(target.partition(b"?")[2].split(b"&"))
    assert left == target.partition(b"?")[0] or all(part in parts for part in left.partition(b"?")[2].split(b"&"))


@pytest.mark.parametrize(
    ("value", "names"),
    [
        (None, ()),
        (b"", ()),
        (b" , ", ()),
        (b"Foo", (b"foo",)),
        (b"foo, Bar,FOO , ,bar", (b"bar", b"foo")),
        (b"*", None),
        (b"*, *", None),
        (b", *", None),
        (b"*, Foo", None),
        (b"Foo,*", None),
        (b"Foo,\t* ", None),
        (b"foo bar", None),
        (b'"foo, *"', None),
        (b"foo\x0c", None),
        (b"foo:", None),
        (b"\xe9", None),
    ],
)
def test_vary_names(value: bytes | None, names: tuple[bytes, ...] | None) -> None:
    assert vary_names({} if value is None else {b"vary": value}) == names


@given(st.binary(), st.booleans())
def test_a_star_among_any_bytes_matches_nothing(rubbish: bytes, first: bool) -> None:
    value = b"*, " + rubbish if first else rubbish + b", *"
    assert vary_names({b"vary": value}) is None


@pytest.mark.parametrize(
    ("name", "one", "other", "same"),
    [
        (b"foo", b"1, 2", b"1,2", True),
        (b"foo", b" 1 ,\t2 ", b"1,2", True),
        (b"foo", b'"1, 2"', b'"1,2"', False),
        (b"foo", b'"1, 2" , 3', b'"1, 2",3', True),
        (b"foo", b'1, "2', b'1,"2', False),
        (b"foo", b"a", b"A", False),
        (b"foo", b"1, 2", b"2, 1", False),
        (b"foo", b"", None, False),
        (b"foo", None, None, True),
        (b"cookie", b"a=1, 2", b"a=1,2", False),
        (b"authorization", b"a, b", b"a,b", False),
        (b"user-agent", b"(KHTML, like Gecko)", b"(KHTML,like Gecko)", False),
        (b"accept-language", b"en, de", b"eN,De", True),
        (b"accept-language", b"en, de;q=0.5", b"en,de ; q=0.5", True),
        (b"accept-language", b"en, de", b"de, en", False),
        (b"accept-encoding", b"gzip, br", b"BR,GZIP", True),
        (b"accept-encoding", b"gzip, br;q=0", b"gzip, br", False),
        (b"accept-encoding", b"", None, False),
        (b"accept-encoding", b"gzip, gzip", b"gzip", True),
    ],
)
def test_which_requests_share_a_variant(name: bytes, one: bytes | None, other: bytes | None, same: bool) -> None:
    first = variant_of((name,), {} if one is None else {name: one})
    second = variant_of((name,), {} if other is None else {name: other})
    assert (first == second) is same


_EXACT_NAMES = [b"authorization", b"cookie", b"user-agent"]
_CHOICES = st.dictionaries(st.sampled_from(_EXACT_NAMES), st.one_of(st.binary(max_size=6), st.just(b"1:cookie;")))
_SUBSETS = st.sets(st.sampled_from(_EXACT_NAMES)).map(lambda names: tuple(sorted(names)))


@given(_SUBSETS, _CHOICES, _SUBSETS, _CHOICES)
def test_variants_are_equal_only_for_the_same_names_and_values(
    names: tuple[bytes, ...], one: dict[bytes, bytes], others: tuple[bytes, ...], other: dict[bytes, bytes]
) -> None:
    same = names == others and all(one.get(name) == other.get(name) for name in names)
    assert (variant_of(names, one) == variant_of(others, other)) is same


@given(st.binary(max_size=20), st.sampled_from([b"foo", b"accept-language", b"accept-encoding", b"cookie"]))
def test_any_value_gives_a_variant_unlike_that_of_none(value: bytes, name: bytes) -> None:
    assert variant_of((name,), {name: value}) != variant_of((name,), {})


def test_long_values_are_normalised_as_well() -> None:
    long = b", ".join(b"x%d" % number for number in range(300))
    assert variant_of((b"accept-encoding",), {b"accept-encoding": long}) == variant_of(
        (b"accept-encoding",), {b"accept-encoding": long.upper().replace(b" ", b"")}
    )
