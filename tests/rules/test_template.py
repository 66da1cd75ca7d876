"""Placeholders become the record's values, and nothing in a record can become more than a value."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock import UsageError
from penstock.rules.template import (
    MissingField,
    check_body,
    check_url,
    json_filler,
    placeholders,
    text_filler,
    url_filler,
)


@pytest.mark.parametrize(
    ("template", "record", "url"),
    [
        ("http://a/{id}", {"id": 7}, "http://a/7"),
        ("http://a/{id}", {"id": "x y"}, "http://a/x%20y"),
        ("http://a/{id}", {"id": "a/b?c=d&e#f"}, "http://a/a%2Fb%3Fc%3Dd%26e%23f"),
        ("http://a/{id}", {"id": "\r\nHost: evil"}, "http://a/%0D%0AHost%3A%20evil"),
        ("http://a/{id}", {"id": "ü€"}, "http://a/%C3%BC%E2%82%AC"),
        ("http://a/{id}", {"id": "%2e%2e"}, "http://a/%252e%252e"),
        ("http://a/{id}", {"id": True}, "http://a/true"),
        ("http://a/{id}", {"id": 1.5}, "http://a/1.5"),
        ("http://a/{id}", {"id": [1, 2]}, "http://a/%5B1%2C2%5D"),
        ("http://a/{a.b}", {"a": {"b": "deep"}}, "http://a/deep"),
        ("http://a/{a.b}", {"a.b": "flat", "a": {"b": "deep"}}, "http://a/flat"),
        ("http://a/{x}/{y}?q={x}", {"x": 1, "y": 2}, "http://a/1/2?q=1"),
        ("http://a/fixed", {}, "http://a/fixed"),
        ("http://a/{}{ }{,}", {}, "http://a/{}{ }{,}"),
        ("http://a/{first name}/{a-b}", {"first name": "x", "a-b": 2}, "http://a/x/2"),
    ],
)
def test_urls(template: str, record: dict[str, Any], url: str) -> None:
    """Values are percent-encoded whole, whatever is in them."""
    assert url_filler(template)(record) == url


@given(st.text(min_size=1, max_size=30))
def test_no_value_changes_the_shape_of_a_url(value: str) -> None:
    """Whatever the value: the same host, the same number of segments, the same query names, no control character."""
    url = url_filler("https://api.example.com/items/{id}/parts?q={id}&z=1")({"id": value})
    parts = urlsplit(url)
    assert parts.netloc == "api.example.com"
    assert parts.path.count("/") == 3
    assert parts.query.count("&") == 1
    assert parts.fragment == ""
    assert url.isascii()
    assert url.isprintable()
    assert " " not in url
    if not any("\ud800" <= letter <= "\udfff" for letter in value):
        assert unquote(parts.path.split("/")[2]) == value


@pytest.mark.parametrize("value", [".", ".."])
@pytest.mark.parametrize(
    "template", ["http://a/items/{id}", "http://a/items/{id}/x", "http://a/{id}?q=1", "http://a/b/{id}#x"]
)
def test_a_dot_segment_cannot_climb(value: str, template: str) -> None:
    """A whole segment of dots would leave the folder on its way through a normalising proxy: it is refused."""
    with pytest.raises(UsageError):
        url_filler(template)({"id": value})


@pytest.mark.parametrize(
    ("template", "url"), [("http://a/v{id}", "http://a/v.."), ("http://a/x?q={id}", "http://a/x?q=..")]
)
def test_dots_that_are_no_segment_are_values(template: str, url: str) -> None:
    """Two dots inside a longer segment, or in the query, go nowhere."""
    assert url_filler(template)({"id": ".."}) == url


@pytest.mark.parametrize(
    ("record", "field"),
    [({}, "a.b"), ({"a": 1}, "a.b"), ({"a": {}}, "a.b"), ({"a": {"b": None}}, "a.b"), ({"a": None}, "a.b")],
)
def test_a_missing_or_null_field_in_a_url_is_named(record: dict[str, Any], field: str) -> None:
    """There is no such thing as an empty segment by accident."""
    with pytest.raises(MissingField) as caught:
        url_filler("http://a/{a.b}")(record)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("template", "record", "value"),
    [
        ('{"v": "{vector}", "k": 1}', {"vector": [1.5, 2]}, {"v": [1.5, 2], "k": 1}),
        ('"{x}"', {"x": None}, None),
        ('"{x}"', {"x": True}, True),
        ('"{x}"', {"x": "text"}, "text"),
        ('"{x}"', {"x": {"a": [1]}}, {"a": [1]}),
        ('"n-{x}"', {"x": 5}, "n-5"),
        ('"n-{x}-{y}"', {"x": None, "y": True}, "n-null-true"),
        ('["{x}", ["{x}"], {"{x}": "{x}"}]', {"x": 1}, [1, [1], {"{x}": 1}]),
        ('{"a": 1, "b": null, "c": "plain"}', {}, {"a": 1, "b": None, "c": "plain"}),
        ('"{a.b.c}"', {"a": {"b": {"c": 0}}}, 0),
        ('"{x}"', {"x": '"}, "admin": true, {"'}, '"}, "admin": true, {"'),
    ],
)
def test_json_bodies_keep_types(template: str, record: dict[str, Any], value: Any) -> None:
    """A string that is only a placeholder becomes the value with its type; inside a longer one it is text."""
    assert json_filler(template)(record) == value


def test_an_unknown_field_in_a_body_is_named() -> None:
    """The record is at fault, and the message says what it lacks."""
    with pytest.raises(MissingField, match="'text'"):
        json_filler('{"q": "{text}"}')({"other": 1})
    with pytest.raises(MissingField, match="'text'"):
        text_filler("q={text}")({})


@pytest.mark.parametrize("template", ["", "{", "q={x}", '{"a": {x}}', "[1,]"])
def test_a_body_that_is_not_json_is_refused(template: str) -> None:
    """The template itself is at fault, before anything is sent."""
    with pytest.raises(UsageError, match="not JSON"):
        json_filler(template)


def test_a_filled_body_does_not_change_the_template() -> None:
    """One filler serves many records."""
    fill = json_filler('{"a": ["{x}"], "b": {"c": "{x}"}}')
    first = fill({"x": 1})
    first["a"].append("changed")
    assert fill({"x": 2}) == {"a": [2], "b": {"c": 2}}


def test_text_is_filled_as_it_stands() -> None:
    """In a body that is not JSON nothing is encoded."""
    assert text_filler("<q>{a} & {b}</q>")({"a": "<x>", "b": {"c": 1}}) == '<q><x> & {"c":1}</q>'


@given(st.lists(st.from_regex(r"\A[A-Za-z_][A-Za-z0-9_]{0,5}\Z"), max_size=5))
def test_placeholders_are_found(names: list[str]) -> None:
    """Every name in braces, once."""
    assert placeholders(" ".join(f"{{{name}}}" for name in names)) == set(names)


@given(
    st.recursive(st.none() | st.integers() | st.text("ab{}.x", max_size=5), lambda inner: st.lists(inner, max_size=3))
)
def test_a_body_without_placeholders_is_itself(value: Any) -> None:
    """What has no placeholder goes through as it is."""
    text = json.dumps(value)
    if not placeholders(text):
        assert json_filler(text)({}) == value


@pytest.mark.parametrize("template", ["http://h/items/{id}", "http://h/{id}/x", "http://h/{id}?a=1"])
def test_an_empty_segment_is_refused(template: str) -> None:
    """An empty field would name the collection in the place of one item of it."""
    with pytest.raises(UsageError, match="empty field 'id'"):
        url_filler(template)({"id": ""})


@pytest.mark.parametrize("template", ["http://h/items?q={id}", "http://h/a{id}", "http://h/{id}.json"])
def test_an_empty_value_elsewhere_is_fine(template: str) -> None:
    """A query parameter may be empty, and so may a part of a segment."""
    assert url_filler(template)({"id": ""}) == template.replace("{id}", "")


@pytest.mark.parametrize(
    "url", ["http://h/{id", "http://h/id}", "http://h/{{id}}", "http://h/{ id }", "http://h/{id}{", "http://h/?a={"]
)
def test_a_url_with_a_brace_that_is_left_over_is_refused(url: str) -> None:
    """It was sent as it stood, for each record: 600 wrong requests, and exit code 0."""
    with pytest.raises(UsageError, match="--url"):
        check_url(url)


@pytest.mark.parametrize("url", ["http://h/", "http://h/{id}", "http://{host}:80/{a b}/?q={x.y}", "http://h/%7Bid%7D"])
def test_other_urls_are_not(url: str) -> None:
    check_url(url)


@pytest.mark.parametrize("is_json", [True, False], ids=["json", "text"])
@pytest.mark.parametrize("text", ["{amount", "a {amount", "{{id}}", "{{ id }} b", "{a} {b"])
def test_what_looks_like_a_field_and_is_none_is_refused(text: str, is_json: bool) -> None:
    """Also deep in a body, and not where JSON has braces of its own."""
    body = json.dumps({"a": [1, {"b": text}], "c": "{c}"}) if is_json else text
    with pytest.raises(UsageError, match="--body"):
        check_body(body, is_json=is_json)


@pytest.mark.parametrize("is_json", [True, False], ids=["json", "text"])
@pytest.mark.parametrize(
    "text", ["{amount}", "query { users { id name } }", "{ not a field", "a } b", "{}", "{{}}", "{{ {a} }}", "$id"]
)
def test_text_with_braces_of_its_own_is_not(text: str, is_json: bool) -> None:
    check_body(json.dumps({"a": text}) if is_json else text, is_json=is_json)
