"""Placeholders: `{field}` in a URL or a body becomes that field of the record.

In a URL the value is percent-encoded, so that no record can change the path or add a parameter (RFC 3986, 2.1).
In a JSON body a string that is nothing but a placeholder becomes the field's JSON value, with its type; inside a
longer string the value is written as text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

from ..errors import UsageError

# Any name of a field, with spaces and dashes too, as headers of CSV files have them; what begins otherwise, such as
# `{"a": 1}` or `{ id }` in a query language, is text.
_PLACEHOLDER = re.compile(r"\{(\w[^{}\n]*)\}")

_DOUBLED = re.compile(r"\{\{\s*\w[^{}\n]*\}\}")
_OPEN = re.compile(r"\{\w[^{}\n]*\Z")

Fill = Callable[[Mapping[str, Any]], Any]


class MissingField(UsageError):
    """The record has no field of that name. `field` names it."""

    def __init__(self, field: str) -> None:
        super().__init__(f"has no field {field!r}, which the request asks for")
        self.field = field


def placeholders(text: str) -> set[str]:
    """The names of all placeholders in `text`."""
    return set(_PLACEHOLDER.findall(text))


def check_url(template: str) -> None:
    """Raises UsageError for a URL in which a brace is left over: it is meant for a placeholder, and no URL has one."""
    _check_text("--url", template)
    rest = _PLACEHOLDER.sub("", template)
    if "{" in rest or "}" in rest:
        raise UsageError(
            "--url has a brace that belongs to no {field}; one that is meant as a sign is written %7B or %7D"
        )


def check_body(template: str, *, is_json: bool) -> None:
    """Raises UsageError for a body with what looks like a placeholder and is none, so that it would be sent as it is.

    Only what nobody means otherwise: two braces, as other template languages have them, and one that is not closed.
    """
    if not is_json:
        _check_text("--body", template)
        return
    for text in _strings(json.loads(template)):
        _check_text("--body", text)


def _check_text(option: str, text: str) -> None:
    doubled = _DOUBLED.search(text)
    if doubled is not None:
        name = doubled[0].strip("{} ")
        raise UsageError(f"{option} has {doubled[0]}: a field is written with one brace on each side, {{{name}}}")
    left_open = _OPEN.search(text)
    if left_open is not None:
        raise UsageError(f"{option} has {left_open[0]!r}, a brace that is not closed: a field is written {{name}}")


def _strings(shape: Any) -> Iterator[str]:
    if isinstance(shape, str):
        yield shape
    elif isinstance(shape, (dict, list)):
        for each in shape.values() if isinstance(shape, dict) else shape:
            yield from _strings(each)


def url_filler(template: str) -> Callable[[Mapping[str, Any]], str]:
    """A function from a record to the URL.

    It raises MissingField for a record without the field, or with null, and UsageError for one that makes a segment of
    the path empty, `.` or `..`: that means another resource, percent-encoded or not (RFC 3986, 6.2.2.3).
    """
    parts = _PLACEHOLDER.split(template)
    own_dots = _dot_segments(template)
    if len(parts) == 1:
        return lambda record: template

    def fill(record: Mapping[str, Any]) -> str:
        out = [parts[0]]
        for name, literal in zip(parts[1::2], parts[2::2], strict=True):
            value = _field(record, name)
            if value is None:
                raise MissingField(name)
            if value == "" and _is_segment(out[-1], literal):
                # DELETE /items/ is not DELETE /items/{id}.
                raise UsageError(f"has an empty field {name!r}, which the URL's path asks for")
            out.append(quote(_text(value), safe="", errors="replace"))
            out.append(literal)
        url = "".join(out)
        if "/." in url and _dot_segments(url) > own_dots:
            raise UsageError("has '.' or '..' for a whole segment of the URL's path, which means another folder")
        return url

    return fill


def _is_segment(before: str, after: str) -> bool:
    return before.endswith("/") and "?" not in before and (not after or after[0] in "/?#")


def json_filler(template: str) -> Fill:
    """A function from a record to the JSON value to send. Raises UsageError if `template` is not JSON."""
    try:
        shape = json.loads(template)
    except ValueError as error:
        raise UsageError(
            f"--body is not JSON ({error}); for another kind of body also give --header 'Content-Type: ...'"
        ) from error
    return _filler(shape)


def text_filler(template: str) -> Callable[[Mapping[str, Any]], str]:
    """A function from a record to the text to send, values written as they are."""
    parts = _PLACEHOLDER.split(template)

    def fill(record: Mapping[str, Any]) -> str:
        out = [parts[0]]
        for name, literal in zip(parts[1::2], parts[2::2], strict=True):
            out += (_text(_field(record, name)), literal)
        return "".join(out)

    return fill


def _dot_segments(url: str) -> int:
    return sum(segment in (".", "..") for segment in re.split("[?#]", url, maxsplit=1)[0].split("/"))


def _filler(shape: Any) -> Fill:
    if isinstance(shape, str):
        whole = _PLACEHOLDER.fullmatch(shape)
        if whole is not None:
            name = whole[1]
            return lambda record: _field(record, name)
        return text_filler(shape) if _PLACEHOLDER.search(shape) else lambda record: shape
    if isinstance(shape, dict):
        fields = [(name, _filler(value)) for name, value in shape.items()]
        return lambda record: {name: fill(record) for name, fill in fields}
    if isinstance(shape, list):
        items = [_filler(value) for value in shape]
        return lambda record: [fill(record) for fill in items]
    return lambda record: shape


def _field(record: Mapping[str, Any], name: str) -> Any:
    if name in record:
        return record[name]
    value: Any = record
    for part in name.split("."):
        if not isinstance(value, Mapping) or part not in value:
            raise MissingField(name)
        value = value[part]
    return value


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
