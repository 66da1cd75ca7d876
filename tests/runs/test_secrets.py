"""Which secrets a run knows, and what of its settings tells it from another."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from penstock.runs.secrets.compared import comparable_body, comparable_url
from penstock.runs.secrets.given import Given
from penstock.runs.secrets.known import known_secrets

RANDOM = "aB3" * 8

KNOWN: dict[str, tuple[dict[str, Any], list[str], list[str]]] = {
    "a token without its scheme": ({"headers": [("Authorization", "Bearer s3cret-1")]}, ["s3cret-1"], ["Bearer"]),
    "a password": (
        {"headers": [("authorization", "Basic " + base64.b64encode(b"user:pass:word1").decode())]},
        ["pass:word1", "user:pass:word1"],
        ["user"],
    ),
    "cookies": ({"headers": [("Cookie", "theme=dark; sid=s3cret-1")]}, ["s3cret-1"], ["dark", "theme"]),
    "parameters of a scheme": ({"headers": [("Authorization", 'Token token="s3cret-1", v=1')]}, ["s3cret-1"], ["v=1"]),
    "a header of any name": ({"headers": [("X-Tenant", "s3cret-1")]}, ["s3cret-1"], []),
    "a word under a harmless name": ({"headers": [("X-Debug", "true"), ("Accept", "application/json")]}, [], ["true"]),
    "a query": ({"urls": ["http://h/?api_key=a%2Bb%20cde&page=2000"]}, ["a+b cde", "a%2Bb%20cde"], ["2000"]),
    "a path": ({"urls": [f"http://h/{RANDOM}/items"]}, [RANDOM], ["items"]),
    "a user": ({"urls": [None, "http://user:p%40ss@h/"]}, ["p@ss"], []),
    "a body": ({"bodies": [None, '{"auth": [{"x": "s3cret-1"}], "q": "word"}']}, ["s3cret-1"], ["word"]),
    "a form": ({"bodies": ["q=word&password=s3cret+1"]}, ["s3cret 1"], ["word"]),
    "a field of a record": ({"urls": ["http://h/?key={customer}"]}, [], ["{customer}", "customer"]),
    "the environment": ({"given": Given(values={"REGION": "europe"})}, ["europe"], []),
}


@pytest.mark.parametrize("name", KNOWN)
def test_what_is_known(name: str) -> None:
    arguments, hidden, shown = KNOWN[name]
    secrets = known_secrets(**arguments)
    assert all(text not in secrets.mask(f"a {text} b") for text in hidden)
    assert all(secrets.mask(f"a {text} b") == f"a {text} b" for text in shown)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("http://h/?api_key=old-key-1&n=1", "http://h/?api_key=new-key-2&n=1", True),
        ("http://h/?api_key=${A}", "http://h/?api_key=new-key-2", True),
        ("http://h/?api_key=${A}&n=1", "http://h/?api_key=${A}&n=2", False),
        ("http://h/?key=orders", "http://h/?key=people", False),
        ("http://h/?key={a}", "http://h/?key={b}", False),
        (f"http://h/{RANDOM}/x", "http://h/" + "cD4" * 8 + "/x", False),
        (f"http://h/?list={RANDOM}", "http://h/?list=" + "cD4" * 8, False),
        ("http://h/?n=${A}", "http://h/?n=${B}", False),
        ("http://u:old-key-1@h/", "http://u:new-key-2@h/", True),
    ],
)
def test_urls_are_compared_without_their_keys(one: str, other: str, same: bool) -> None:
    """By name alone: what looks drawn by chance may well be the name of what is asked for."""
    assert (comparable_url(one) == comparable_url(other)) is same


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ('{"token": "old-key-1", "q": 1}', '{"token": "new-key-2", "q": 1}', True),
        ('{"token": "old-key-1", "q": 1}', '{"token": "new-key-2", "q": 2}', False),
        ('{"key": "{a}"}', '{"key": "{b}"}', False),
        ("token=old-key-1&q=1", "token=new-key-2&q=1", True),
        ('{"a":  1}', '{"a": 1}', False),
    ],
)
def test_bodies_are_compared_without_their_keys(one: str, other: str, same: bool) -> None:
    """All else counts as it was typed."""
    assert (comparable_body(one) == comparable_body(other)) is same
