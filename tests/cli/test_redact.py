"""What is kept of a command line: everything but its secrets."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.cli.redact import redact
from penstock.rules.secrets.names import HIDDEN, is_secret_name

SECRET = "s3cr3t-Zz9"

HIDES = {
    "a token command": ["--token-command", f"sh -c 'curl -u me:{SECRET} https://h/login'"],
    "a token command after =": [f"--token-command=get {SECRET}"],
    "a header": ["--header", f"Authorization: Bearer {SECRET}"],
    "a header with an equals sign": [f"--header=X-Api-Key: {SECRET}"],
    "a header of any name": ["--header", f"X-Whatever: {SECRET}"],
    "a header beside a reference": ["--header", "Cookie: a=${A}; b=" + SECRET],
    "a header in braces": ["--header", f"X-Login: {{{SECRET}}}"],
    "a header without a colon": ["--header", SECRET],
    "a password in a URL": ["--url", f"https://user:{SECRET}@api.example.com/x"],
    "a password with a slash": ["--url", f"https://user:a/{SECRET}@api.example.com/x"],
    "a token in the path": ["--url", f"https://hooks.example.com/services/T0/{SECRET}xxxxxxxxxx/send"],
    "a token of another name": ["--url", f"https://api.example.com/?subscriber={SECRET}xxxxxxxxxx"],
    "a user alone": [f"--url=https://{SECRET}@api.example.com/"],
    "a query": ["--url", f"https://api.example.com/x?page=2&api_key={SECRET}"],
    "an escaped name": ["--url", f"https://api.example.com/x?%74oken={SECRET}"],
    "a signature": ["--url", f"https://s3.example.com/x?X-Amz-Signature={SECRET}"],
    "a fragment": ["--url", f"https://api.example.com/x#access_token={SECRET}"],
    "a URL without a scheme": ["--url", f"user:{SECRET}@api.example.com/x"],
    "a URL that is none": ["--url", f"https://[bad/?token={SECRET}"],
    "a proxy": ["--proxy", f"http://user:{SECRET}@proxy.example.com:3128"],
    "a proxy without a scheme": ["--proxy", f"user:{SECRET}@proxy.example.com:3128"],
    "a body": ["--body", f'{{"q": "{{text}}", "apiKey": "{SECRET}"}}'],
    "a body deep down": ["--body", f'{{"auth": {{"pair": ["u", "{SECRET}"]}}}}'],
    "a body that is no JSON": ["--body", f'{{"n": {{id}}, "token": "{SECRET}"}}'],
    "a token to start with": ["--start", SECRET],
    "a form": ["--body", f"q={{text}}&password={SECRET}"],
    "an option of another name": ["--param", f"access_token={SECRET}"],
}

KEEPS = [
    ["--token-command", "./get-token.sh"],
    ["send", "in.jsonl", "--out", "out.jsonl", "--limit", "100/min", "--quiet"],
    ["--header", "Authorization: Bearer ${TOKEN}"],
    ["--header", "Accept: application/json", "--header=Content-Type: text/plain; charset=utf-8"],
    ["--url", "https://api.example.com:8443/items/{id}?page=2&key={id}#top"],
    ["--url", "http://[::1]:8080/@someone?q=a@b"],
    ["--url", "https://api.example.com/v2/550e8400-e29b-41d4-a716-446655440000/CustomerOrders/{customerOrder1}"],
    ["--url", "https://${USER}:${PASSWORD}@api.example.com/"],
    ["--body", '{"q":  "{text}", "top_k": 1, "key": "{id}"}'],
    ["--expect", "status == 'ok'", "--extract", "hits[0].id"],
    ["--key", "id", "--cursor-param", "token"],
]


@pytest.mark.parametrize("arguments", HIDES.values(), ids=HIDES)
def test_secrets_are_hidden(arguments: list[str]) -> None:
    """Wherever a secret can stand, it is gone, and something says that it was there."""
    shown = shlex.join(redact(["send", "in.jsonl", *arguments, "--limit", "100/min"]))
    assert SECRET not in shown
    assert HIDDEN in shown
    assert shown.startswith("send in.jsonl ")
    assert shown.endswith(" --limit 100/min")


@pytest.mark.parametrize("arguments", KEEPS, ids=lambda arguments: " ".join(arguments[:2]))
def test_all_else_stays_as_it_was_typed(arguments: list[str]) -> None:
    """References are no secrets, and a command without secrets can be pasted as it is."""
    assert redact(arguments) == arguments


def test_what_is_hidden_leaves_the_rest_readable() -> None:
    """The scheme of an authorization, the host and the other parameters still say what was done."""
    arguments = ["--header", "Authorization: Bearer abc", "--url", "https://u:p@h.example/x?q=1&sig=abc&n=2"]
    assert redact(arguments) == [
        "--header",
        "Authorization: Bearer ***",
        "--url",
        "https://***@h.example/x?q=1&sig=***&n=2",
    ]


@given(st.lists(st.text(max_size=30) | st.sampled_from(["--header", "--url", "--body", "--proxy", "--x=http://"])))
def test_nothing_that_can_be_typed_makes_it_fail(arguments: list[str]) -> None:
    """As many words come out as went in, and hiding twice hides nothing more."""
    once = redact(arguments)
    assert len(once) == len(arguments)
    assert redact(once) == once


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        *(
            (name, True)
            for name in ("api_key", "apikey", "accessToken", "X-Amz-Signature", "client-secret", "PASSWORD")
        ),
        *((name, True) for name in ("key", "sig", "auth", "oauth_token", "sessionId", "x%2Dapi%2Dkey")),
        *((name, False) for name in ("page", "keyword", "monkey", "author", "limit", "cursor", "id", "design", "")),
    ],
)
def test_names_of_secrets(name: str, secret: bool) -> None:
    """Words count, not letters: a keyword is no key."""
    assert is_secret_name(name) is secret
