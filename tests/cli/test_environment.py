"""`${NAME}` in what the user typed."""

from __future__ import annotations

import json

import pytest

from penstock.cli.environment import Environment
from penstock.errors import UsageError

VARIABLES = {
    "KEY": 'a b&c=/"ü',
    "API": "https://h.example:8443/v1",
    "N": "7",
    "low_er": "x",
    "FIELD": "a{b}c",
    "LF": "a\nb",
}


@pytest.mark.parametrize(
    ("typed", "url"),
    [
        ("http://h/x?k=${KEY}&n=${N}", "http://h/x?k=a%20b%26c%3D%2F%22%C3%BC&n=7"),
        ("http://h/${KEY}/x", "http://h/a%20b%26c%3D/%22%C3%BC/x"),
        ("http://h?${KEY}=1", "http://h?a%20b%26c%3D%2F%22%C3%BC=1"),
        ("http://h/#${KEY}", "http://h/#a%20b%26c%3D%2F%22%C3%BC"),
        ("${API}/items/{id}?k=${N}", "https://h.example:8443/v1/items/{id}?k=7"),
        ("${API}${KEY}", "https://h.example:8443/v1a%20b%26c%3D/%22%C3%BC"),
        ("http://${low_er}.example/", "http://x.example/"),
        ("http://u:${KEY}@h/", "http://u:a%20b%26c%3D%2F%22%C3%BC@h/"),
        ("http://h/{field}/$1/$top?$filter=x", "http://h/{field}/$1/$top?$filter=x"),
    ],
)
def test_in_a_url(typed: str, url: str) -> None:
    """No value can change what is a parameter; one in the place of the host may be the whole address."""
    environment = Environment(VARIABLES)
    assert environment.url("--url", typed) == url
    assert environment.given().typed == {"--url": typed}


@pytest.mark.parametrize(
    ("typed", "kind", "body"),
    [
        ('{"k": "${KEY}", "n": ${N}}', None, '{"k": "a b&c=/\\"ü", "n": 7}'),
        ('{"a\\"": "x\\\\", "k": "z ${KEY} z"}', "application/json", '{"a\\"": "x\\\\", "k": "z a b&c=/\\"ü z"}'),
        ('{"k": "${LF}"}', "Application/Problem+JSON", '{"k": "a\\nb"}'),
        ("k=${KEY}&n=1", "application/x-www-form-urlencoded", "k=a%20b%26c%3D%2F%22%C3%BC&n=1"),
        ("k ${KEY}", "text/plain", 'k a b&c=/"ü'),
        ('{"query": "query($ID: Int)"}', None, '{"query": "query($ID: Int)"}'),
        ('{"price": "\\u0024{amount}"}', None, '{"price": "\\u0024{amount}"}'),
    ],
)
def test_in_a_body(typed: str, kind: str | None, body: str) -> None:
    """Written as the content type asks for, so that no value ends the string it is in."""
    assert Environment(VARIABLES).body("--body", typed, kind) == body
    if kind is None:
        json.loads(body)


def test_in_a_header_and_a_text() -> None:
    """As they are; what was used is known."""
    environment = Environment(VARIABLES)
    assert environment.header("X-Key:  a ${KEY} ") == ("X-Key", 'a a b&c=/"ü')
    assert environment.text("--start", "${N}") == "7"
    assert environment.given().values == {"KEY": VARIABLES["KEY"], "N": "7"}


@pytest.mark.parametrize(
    ("method", "arguments", "says"),
    [
        *(
            (name, text, "the environment has no NOPE")
            for name, text in [
                ("header", ("X: ${NOPE}",)),
                ("url", ("--url", "http://h/${NOPE}")),
                ("body", ("--body", '"${NOPE}"')),
                ("text", ("--start", "${NOPE}")),
            ]
        ),
        *(
            (name, text, r"\$TOKEN would be sent as it is; write \${TOKEN}")
            for name, text in [
                ("header", ("X: Bearer $TOKEN",)),
                ("url", ("--url", "http://h/?k=$TOKEN&n=1")),
                ("text", ("--start", "$TOKEN")),
            ]
        ),
        ("body", ("--body", '{"k": "$KEY"}'), r"write \${KEY}"),
        ("body", ("--body", '{"k": "${FIELD}"}'), "part in braces"),
        ("header", ("s3cret",), "write 'Name: value'"),
        ("header", (": s3cret",), "write 'Name: value'"),
        ("header", ("X: ${LF}",), "CR, LF or NUL"),
    ],
)
def test_what_is_refused(method: str, arguments: tuple[str, ...], says: str) -> None:
    """In one line that names the option, and no value."""
    with pytest.raises(UsageError, match=says) as caught:
        getattr(Environment(VARIABLES), method)(*arguments)
    assert not any(each in str(caught.value) for each in ("s3cret", "a{b}c", "a\nb"))
