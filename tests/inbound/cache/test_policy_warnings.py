"""What can be meant, but seldom is."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

import penstock
from penstock.inbound.cache.policy import PathPolicy, Policy
from penstock.inbound.cache.policy_file import read_policy
from penstock.inbound.cache.policy_warnings import warnings_of

TABLE = "[[path]]\nmatch = '/a'\n"
# The text of a file; for each warning its line and what it says.
DOUBTFUL: list[tuple[str, list[tuple[int | None, str]]]] = [
    ("", [(None, "says nothing")]),
    ("# soon\n", [(None, "says nothing")]),
    (TABLE + "strip_set_cookie = ['*']", [(3, "strip_set_cookie: takes sessionid")]),
    (TABLE + "strip_set_cookie = ['csrf*']", [(3, "strip_set_cookie: takes csrftoken")]),
    (TABLE + "ignore_cookies = ['_ga', 'csrftoken']", [(3, "ignore_cookies: keeps csrftoken")]),
    ("ignore_cookies = ['*']\n" + TABLE, [(1, "ignore_cookies: keeps sessionid")]),
    ("[[path]]\nmatch = '/search?q'", [(2, 'match: "?" stands for one character here; for a query write query = ["q')]),
    (TABLE + "stale_if_error = 5", [(3, "stale_if_error: does nothing here")]),
    (TABLE + "public = true\nstale_while_revalidate = 5", [(4, "stale_while"), (3, "public: does nothing")]),
    ("public = true\n", [(1, "public: does nothing")]),
]
GOOD = [
    TABLE,
    TABLE + "ttl = 1\nstale_if_error = 5\npublic = true",
    "ttl = 1\n" + TABLE + "stale_if_error = 5",
    "stale_if_error = 5\n" + TABLE + "ttl = 1",
    TABLE + "strip_set_cookie = ['_ga*', 'utm_*']\nignore_cookies = ['_g*']\nbypass_cookies = ['*']",
    "[[path]]\nmatch = '/page-?.html'",
    TABLE + "public = false",
]


@pytest.mark.parametrize(("text", "expected"), DOUBTFUL)
def test_what_is_doubtful_is_told_with_its_line(
    tmp_path: Path, text: str, expected: list[tuple[int | None, str]]
) -> None:
    file = tmp_path / "cache.toml"
    file.write_text(text)
    found = warnings_of(read_policy(file))
    assert len(found) == len(expected)
    for warning, (line, says) in zip(found, expected, strict=True):
        assert warning.startswith(f"{file}: " if line is None else f"{file}:{line}: ")
        assert says[:60] in warning


@pytest.mark.parametrize("text", GOOD)
def test_what_is_meant_is_not(tmp_path: Path, text: str) -> None:
    file = tmp_path / "cache.toml"
    file.write_text(text)
    assert warnings_of(read_policy(file)) == []


def test_a_policy_of_python_has_no_file_to_name(caplog: pytest.LogCaptureFixture) -> None:
    """The middleware has nobody but the log to tell."""
    policy = Policy((PathPolicy("/a/*", strip_set_cookie=("*",)),))
    with caplog.at_level(logging.WARNING, "penstock.cache"):
        penstock.SharedCache(policy=policy)
        penstock.SharedCache()
    assert [record.message for record in caplog.records] == [f"policy: {line}" for line in warnings_of(policy)]
    assert caplog.records[0].message.startswith('policy: match = "/a/*": strip_set_cookie: takes sessionid')
