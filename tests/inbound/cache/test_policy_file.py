"""The policy as a file: every key, where each stands, and every mistake by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from penstock.errors import InputError, UsageError
from penstock.inbound.cache.policy import NO_POLICY, PathPolicy, Policy
from penstock.inbound.cache.policy_checks import FOR_ALL, KEYS
from penstock.inbound.cache.policy_file import read_policy

GOOD = """
heuristic = "60s"
ignore_cookies = ["_g*"]   # for all

[[path]]
match = "/static/*"
ttl = "5m"
stale_while_revalidate = 60
stale_if_error = "1h"
tags = ["static", "caf\N{LATIN SMALL LETTER E WITH ACUTE}"]
heuristic = false

[[path]]
prefix = "/shop/"
query = ["page", "sort=*"]
ttl_by_status = { 404 = "10s", 503 = 2, 403 = "1m" }
public = true
bypass_cookies = ["sessionid", "messages"]
drop_query = ["utm_*"]
sort_query = true
strip_set_cookie = ["_ga*"]
accept_language = ["de", "en-GB"]
ignore_cookies = []
unkeyed_cookies = ["csrftoken"]

[[ path ]]
pattern = '/p/[0-9]+'
query = []
bypass = true
"""
ALL = {"ignore_cookies": ("_g*",), "heuristic": 60.0}


def read(tmp_path: Path, text: str) -> Policy:
    file = tmp_path / "policy.toml"
    file.write_text(text, encoding="utf-8")
    return read_policy(file)


def test_a_file_of_all_kinds_of_keys(tmp_path: Path) -> None:
    policy = read(tmp_path, GOOD)
    static, shop, numbered = policy.paths
    assert policy.default == PathPolicy(heuristic=60.0, ignore_cookies=("_g*",))
    assert static == PathPolicy(
        "/static/*",
        ttl=300.0,
        stale_while_revalidate=60.0,
        stale_if_error=3600.0,
        tags=("static", "caf\N{LATIN SMALL LETTER E WITH ACUTE}"),
        heuristic=False,
    )
    assert shop == PathPolicy(
        prefix="/shop/",
        query=("page", "sort=*"),
        ttl_by_status={404: 10.0, 503: 2.0, 403: 60.0},
        public=True,
        bypass_cookies=("sessionid", "messages"),
        unkeyed_cookies=("csrftoken",),
        drop_query=("utm_*",),
        sort_query=True,
        strip_set_cookie=("_ga*",),
        accept_language=("de", "en-GB"),
        ignore_cookies=(),
    )
    assert numbered == PathPolicy(pattern="/p/[0-9]+", query=(), bypass=True)
    assert {*policy.default.said(), *static.said(), *shop.said(), *numbered.said()} == KEYS, "a key is missing here"


def test_each_key_has_the_line_where_it_stands(tmp_path: Path) -> None:
    """By that, what a policy took away can be traced to who wrote it."""
    policy = read(tmp_path, GOOD)
    lines = GOOD.splitlines()
    assert policy.source == str(tmp_path / "policy.toml")
    for entry in (policy.default, *policy.paths):
        assert entry.lines.keys() == entry.said().keys()
        for key, number in entry.lines.items():
            assert lines[number - 1].startswith(key)
    assert policy.entries[0].lines["ignore_cookies"] == 3, "what holds for all stands where it was said"
    assert policy.entries[0].lines["heuristic"] == 11
    assert policy.entries[1].lines["ignore_cookies"] == 23


def test_lines_of_tables_that_are_written_in_another_way(tmp_path: Path) -> None:
    text = (
        "[[path]]\nmatch = '/a'\n[path.ttl_by_status]\n404 = 1\n[['path']]\n\"match\" = '/b'\nttl_by_status.404 = 1\n"
    )
    assert [dict(each.lines) for each in read(tmp_path, text).paths] == [
        {"match": 2, "ttl_by_status": 3},
        {"match": 6, "ttl_by_status": 7},
    ]


def test_lines_and_source_are_no_part_of_what_a_policy_says(tmp_path: Path) -> None:
    first = read(tmp_path, "[[path]]\nmatch = '/a'\nttl = 1\n")
    other = Policy((PathPolicy("/a", ttl=1.0),))
    assert first == other
    assert repr(first.paths) == "(PathPolicy(ttl=1.0, path='/a'),)"
    assert other.source is None
    assert other.paths[0].lines == {}


def test_what_stands_before_the_tables_holds_where_they_say_nothing(tmp_path: Path) -> None:
    policy = read(tmp_path, GOOD)
    static, shop, numbered = policy.entries
    assert (static.ignore_cookies, static.heuristic, static.ttl) == (("_g*",), False, 300.0)
    assert (shop.ignore_cookies, shop.heuristic) == ((), 60.0), "said to be none"
    assert numbered.said() == {"pattern": "/p/[0-9]+", "query": (), "bypass": True}, "nothing touches what is bypassed"
    assert policy.for_target(b"/elsewhere") is policy.default
    assert policy.for_target(b"/static/a") is static
    assert policy.applies


def test_a_file_with_defaults_alone(tmp_path: Path) -> None:
    policy = read(tmp_path, "ttl = 60\n")
    assert policy.applies
    assert policy.for_target(b"/").ttl == 60.0
    assert policy.paths == ()


@pytest.mark.parametrize("text", ["", "# nothing yet\n"])
def test_a_file_that_says_nothing(tmp_path: Path, text: str) -> None:
    policy = read(tmp_path, text)
    assert not policy.applies
    assert policy.for_target(b"/") is NO_POLICY


TABLE = "[[path]]\nmatch = '/'\n"
# The text of a file, the line that is named (None: none can be), and what the message says.
BAD: list[tuple[str, int | None, str]] = [
    ("x = 1", 1, "x: unknown"),
    ("[path]\nmatch = '/'", 1, "two brackets"),
    ("path = 3", 1, "two brackets"),
    ("path = ['/a']", 1, "[[path]]"),
    ("match = '/a'", 1, "write [[path]] above"),
    ("ttl = 1\nbypass = true", 2, "write [[path]] above"),
    ("query = []", 1, "write [[path]] above"),
    ("[[path]]\nttl = 3", 1, 'match = "/static/*"'),
    ("[[path]]\nmatch = 'a'", 2, "slash"),
    ("[[path]]\nmatch = 3", 2, "match: must be a text"),
    ("[[path]]\nprefix = 'a'", 2, "slash"),
    ("[[path]]\nprefix = ['/a']", 2, "prefix: must be a text"),
    ("[[path]]\npattern = '/('", 2, "regular expression"),
    ("[[path]]\npattern = '/a(?i)'", 2, "regular expression"),
    ("[[path]]\npattern = '/a{99999999999}'", 2, "regular expression"),
    (f"[[path]]\npattern = '/{'(' * 3000}{')' * 3000}'", 2, "regular expression"),
    ("[[path]]\nmatch = '/a'\nprefix = '/a'", 3, "prefix: there is match already"),
    ("[[path]]\npattern = '/a'\nprefix = '/a'", 2, "pattern: there is prefix already"),
    ("[[path]]\nmatch = '/x?y=1'", 2, 'match = "/x" and query = ["y=1"]'),
    ("[[path]]\nmatch = '/x?y&z=*'", 2, 'query = ["y", "z=*"]'),
    ("[[path]]\nprefix = '/x?y'", 2, 'prefix = "/x" and query = ["y"]'),
    ("[[path]]\npattern = '/x\\?y=[0-9]'", 2, "write query ="),
    ("[[path]]\npattern = '/x[?]y'", 2, "write query ="),
    ("[[path]]\nmatch = '/caf\N{LATIN SMALL LETTER E WITH ACUTE}/*'", 2, '"/caf%C3%A9/*"'),
    ("[[path]]\nprefix = '/\N{LATIN SMALL LETTER A WITH DIAERESIS}/'", 2, '"/%C3%A4/"'),
    ("[[path]]\npattern = '/\N{CJK UNIFIED IDEOGRAPH-4E2D}/.*'", 2, '"/%E4%B8%AD/.*"'),
    (TABLE + "query = ['q=\N{LATIN SMALL LETTER E WITH ACUTE}']", 3, '"q=%C3%A9"'),
    (TABLE + "query = 'a=1'", 3, "query: must be a list"),
    (TABLE + "query = ['?a=1&b']", 3, 'query = ["a=1", "b"]'),
    (TABLE + "ttl = -1", 3, "ttl"),
    (TABLE + "ttl = nan", 3, "ttl"),
    (TABLE + "ttl = inf", 3, "ttl"),
    (TABLE + "ttl = true", 3, "ttl"),
    (TABLE + "ttl = 'soon'", 3, "ttl"),
    (TABLE + "tll = 3", 3, "tll: unknown"),
    (TABLE + "bypass = 'yes'", 3, "true or false"),
    (TABLE + "public = 1", 3, "true or false"),
    (TABLE + "sort_query = 'yes'", 3, "true or false"),
    (TABLE + "tags = 'a'", 3, "list"),
    (TABLE + "tags = ['']", 3, "list"),
    (TABLE + "tags = [1]", 3, "list"),
    (TABLE + "tags = ['a b']", 3, "'a b' is no tag"),
    (TABLE + "tags = ['a,b']", 3, "is no tag"),
    (TABLE + 'tags = ["a\\u0000"]', 3, "is no tag"),
    (TABLE + "ignore_cookies = true", 3, "list"),
    (TABLE + "bypass_cookies = 'sessionid'", 3, "list"),
    (TABLE + "strip_set_cookie = true", 3, "name the cookies"),
    (TABLE + "strip_set_cookie = false", 3, "list"),
    (TABLE + "accept_language = ['de_DE']", 3, "no language"),
    (TABLE + "accept_language = ['*']", 3, "no language"),
    (TABLE + "heuristic = true", 3, "heuristic"),
    (TABLE + "heuristic = 'long'", 3, "heuristic"),
    (TABLE + "ttl_by_status = '10s'", 3, "table"),
    (TABLE + "ttl_by_status = { 4xx = 1 }", 3, "is no status"),
    (TABLE + "ttl_by_status = { 404 = 'soon' }", 3, "duration"),
    (TABLE + "ttl_by_status = { 199 = 1 }", 3, "no status of an answer"),
    (TABLE + "ttl_by_status = { 304 = 1 }", 3, "no status of an answer"),
    (TABLE + "ttl_by_status = { 600 = 1 }", 3, "no status of an answer"),
    (TABLE + "ttl_by_status = { 401 = 1 }", 3, "public = true"),
    (TABLE + "ttl_by_status = { 403 = 1 }\npublic = false", 3, "public = true"),
    (TABLE + "ttl_by_status = { 429 = 1 }\npublic = true", 3, "one client"),
    (TABLE + "ttl_by_status = { 503 = 11 }", 3, "10 s at most"),
    (TABLE + "ttl_by_status = { 501 = '1m' }", 3, "10 s at most"),
    (TABLE + "unkeyed_cookies = ['csrf*']", 3, "by its name"),
    (TABLE + "unkeyed_cookies = ['a']\nstrip_set_cookie = ['?']", 3, "'a' is among strip_set_cookie"),
    (TABLE + "bypass = true\nunkeyed_cookies = ['a']", 4, "unkeyed_cookies: nothing is stored"),
    (TABLE + "ttl = 1\nbypass = true", 3, "ttl: nothing is stored"),
    (TABLE + "bypass = true\nbypass_cookies = ['a']", 4, "bypass_cookies: nothing is stored"),
    ("ttl_by_status = { 403 = 1 }\npublic = true\n" + TABLE + "public = false", 1, "public = true"),
    ("[[path]]\nmatch = '/a'\n[[path]]\nmatch = '/b'\nbypass = 1", 5, "bypass"),
    ("ttl = 1\n[[path]]\nmatch = '/a'\nttl = 'x'", 4, "ttl"),
    ("[[path]]\nmatch = '/*'\n[[path]]\nmatch = '/b'", 4, 'match = "/*" before it takes all'),
    ("[[path]]\nprefix = '/'\n[[path]]\nprefix = '/b'", 4, "before it takes all"),
    ("[[path]]\npattern = '/.*'\n[[path]]\npattern = '/b'", 4, "before it takes all"),
    ("[[path]]\nmatch = '/a'\nmatch = '/b'", None, "TOML"),
    ("[[path]\n", 1, "TOML"),
]


ALL_KEYS = ", ".join(sorted(KEYS))
HERE = ", ".join(sorted(FOR_ALL))
# The same, with all that is said after the place.
MEANT: list[tuple[str, int | None, str]] = [
    ("xyz = 1", 1, f"xyz: unknown; there are {HERE}"),
    ("tll = 1", 1, f"tll: unknown: did you mean ttl? There are {HERE}"),
    ("TTL = 1", 1, f"TTL: unknown: did you mean ttl? There are {HERE}"),
    ("ttl_by_statsu = { 404 = 1 }", 1, f"ttl_by_statsu: unknown: did you mean ttl_by_status? There are {HERE}"),
    ("mtach = '/a'", 1, "mtach: unknown: did you mean match? Then this belongs into a table; write [[path]] above it"),
    (TABLE + "xyz = 1", 3, f"xyz: unknown; there are {ALL_KEYS}"),
    (TABLE + "tll = 1", 3, f"tll: unknown: did you mean ttl? There are {ALL_KEYS}"),
    (TABLE + "Bypass = true", 3, f"Bypass: unknown: did you mean bypass? There are {ALL_KEYS}"),
    (TABLE + "stale-if-error = 1", 3, f"stale-if-error: unknown: did you mean stale_if_error? There are {ALL_KEYS}"),
    ("[[path]]\npath = '/a'", 2, f"path: unknown: did you mean match? There are {ALL_KEYS}"),
    ("[[paths]]\nmatch = '/a'", 1, "paths: unknown; write [[path]]"),
    ("[paths]\nmatch = '/a'", 1, "paths: unknown; write [[path]]"),
    ("[[Path]]\nmatch = '/a'", 1, "Path: unknown; write [[path]]"),
    ("[route]\nmatch = '/a'", 1, "route: unknown; write [[path]]"),
    (TABLE + "[[paths]]\nmatch = '/b'", 3, "paths: unknown; write [[path]]"),
]


@pytest.mark.parametrize(("text", "line", "says"), MEANT)
def test_what_is_meant_is_proposed(tmp_path: Path, text: str, line: int | None, says: str) -> None:
    """Of the keys that may stand there, and no others."""
    with pytest.raises(InputError, match=r".") as caught:
        read(tmp_path, text)
    assert str(caught.value) == f"{tmp_path / 'policy.toml'}:{line}: {says}"


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("ttl = 60s", '): text needs quotes, ttl = "60s"'),
        ("ttl = 60 s  # soon\n", '): text needs quotes, ttl = "60 s"'),
        (TABLE + "ttl=1.5h\n", '): text needs quotes, ttl = "1.5h"'),
        (TABLE + "ttl_by_status = { 404 = 10s }", '): text needs quotes, 404 = "10s"'),
        (TABLE + "ttl_by_status = { 503 = 2, 404 = 10s }", '): text needs quotes, 404 = "10s"'),
        ("heuristic = never", '): text needs quotes, heuristic = "never"'),
        ("[[path]]\nmatch = /static/*", '): text needs quotes, match = "/static/*"'),
        ("[[path]]\npattern = /p/\\d+", "): text needs quotes, pattern = '/p/\\d+'"),
        (TABLE + "public = True", "): write public = true"),
        ("ttl = ", ")"),
        ("ttl = 1\nttl = 2", ")"),
        ("[[path]\n", ")"),
    ],
)
def test_text_without_quotes_is_shown_with_them(tmp_path: Path, text: str, ends: str) -> None:
    with pytest.raises(InputError, match="not TOML") as caught:
        read(tmp_path, text)
    assert str(caught.value).endswith(ends)


@pytest.mark.parametrize(("text", "line", "says"), BAD)
def test_what_is_wrong_in_a_file_is_named(tmp_path: Path, text: str, line: int | None, says: str) -> None:
    with pytest.raises(InputError, match=r".") as caught:
        read(tmp_path, text)
    assert says in str(caught.value)
    assert caught.value.line == line
    assert str(tmp_path / "policy.toml") in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "[[path]]\nmatch = '/*'\n[[path]]\nmatch = '/b'\nbypass = true",
        "[[path]]\nmatch = '/*'\nquery = ['a']\n[[path]]\nmatch = '/b'",
        "[[path]]\nmatch = '/*'\nbypass = true\n[[path]]\nmatch = '/b'",
        TABLE + "bypass = true\ndrop_query = ['a']",
        "ttl = 1\n" + TABLE + "bypass = true",
        "public = true\n" + TABLE + "ttl_by_status = { 401 = 1 }\npublic = true",
        TABLE + "ttl_by_status = { 302 = '1h', 500 = 10, 501 = 10, 206 = 1, 404 = 0 }",
        TABLE + "query = ['p=?']",
        "[[path]]\nmatch = '/page-?.html'",
    ],
)
def test_what_can_be_meant_is_taken(tmp_path: Path, text: str) -> None:
    read(tmp_path, text)


@pytest.mark.parametrize(
    "settings",
    [
        {"path": "a/*"},
        {"path": "/a", "prefix": "/b"},
        {"path": "/x?y=1"},
        {"ignore_cookies": "_ga"},
        {"strip_set_cookie": True},
        {"ttl": -1.0},
        {"ttl": float("nan")},
        {"ttl": 1.0, "bypass": True},
        {"ttl_by_status": {401: 1.0}},
        {"ttl_by_status": {"404": 1.0}},
        {"tags": ("a b",)},
        {"heuristic": True},
    ],
)
def test_python_is_refused_the_same(settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"^\w+: "):
        PathPolicy(**settings)


def test_a_policy_of_python_is_refused_as_a_whole() -> None:
    with pytest.raises(UsageError, match='prefix = "/b": no request comes this far'):
        Policy((PathPolicy(ttl=1.0), PathPolicy(prefix="/b")))
    for default in (PathPolicy("/a"), PathPolicy(bypass=True), PathPolicy(query=())):
        with pytest.raises(UsageError, match="for all paths"):
            Policy(default=default)
    with pytest.raises(UsageError, match="ttl_by_status"):
        Policy((PathPolicy("/a", public=False),), default=PathPolicy(ttl_by_status={403: 1.0}, public=True))


def test_lists_of_python_are_taken() -> None:
    policy: Any = PathPolicy("/a", tags=["a"])  # type: ignore[arg-type]  # as those write it who use no type checker
    assert policy.tags == ("a",)
    hash(policy)


@pytest.mark.parametrize(
    ("policy", "where"),
    [
        (PathPolicy("/a/*"), 'match = "/a/*"'),
        (PathPolicy(prefix="/a/", query=("p=*", "q")), 'prefix = "/a/", query = ["p=*", "q"]'),
        (PathPolicy(pattern=r"/\d+"), r"pattern = '/\d+'"),
        (NO_POLICY, "all paths without an entry"),
    ],
)
def test_which_requests_an_entry_is_for_in_words(policy: PathPolicy, where: str) -> None:
    assert policy.where == where


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_policy(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="UTF-8"):
        read_policy(tmp_path / "bad.toml")
