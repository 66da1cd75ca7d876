"""From records to requests: the template, and what fills it in."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from ..errors import InputError, UsageError
from ..fields import check_field
from ..messages import Headers, Request
from ..rules.retries.verdict import is_idempotent
from ..rules.template import check_body, check_url, json_filler, placeholders, text_filler, url_filler
from .records import Record

_BODILESS = frozenset({"GET", "HEAD", "DELETE", "OPTIONS", "TRACE"})


@dataclass(frozen=True, slots=True)
class RequestTemplate:
    """What a request looks like: `url` and `body` with `{field}` placeholders."""

    url: str
    method: str = "POST"
    body: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    idempotency_key: str | None = None

    @property
    def idempotent(self) -> bool:
        """Whether the request may be repeated without harm."""
        return is_idempotent(self.method) or self.idempotency_key is not None

    @property
    def fields(self) -> set[str]:
        """Every field that a record must have."""
        in_headers = (placeholders(value) for _, value in self.headers)
        return placeholders(self.url).union(placeholders(self.body or ""), *in_headers)

    @property
    def all_alike(self) -> bool:
        """Whether every record makes the same request."""
        return not self.fields and (self.body is not None or self.method.upper() in _BODILESS)


class RequestBuilder:
    """Makes the request of a record. Raises UsageError for a template that cannot work."""

    def __init__(self, template: RequestTemplate, run_id: str = "") -> None:
        check_url(template.url)
        self._template = template
        self._url = url_filler(template.url)
        self._run_id = run_id
        given = {name.lower() for name, _ in template.headers}
        self._encode, content_type = _encoder(template, given)
        fields = [(name, value) for name, value in template.headers if not placeholders(value)]
        self._own = [(name, text_filler(value)) for name, value in template.headers if placeholders(value)]
        """Headers that differ from record to record."""
        if content_type and "content-type" not in given:
            fields.append(("Content-Type", content_type))
        if "accept" not in given:
            fields.append(("Accept", "application/json, */*;q=0.5"))
        self._headers = Headers(fields)
        # Where placeholders stand in the host, no connection is known to be the right one beforehand.
        slash = template.url.find("/", 8)
        self.origin = (template.url if slash < 0 else template.url[: slash + 1]).split("{")[0]
        """Scheme, host and a slash; whatever else it is, no connection is open to it."""
        self.one_host = "{" not in (template.url if slash < 0 else template.url[:slash])
        """Whether all requests go to the same host."""
        self.parse = bool(template.fields)
        """Whether records must be looked into."""

    def check(self, fields: Any) -> str:
        """What keeps a request from being made of this record, or nothing."""
        try:
            self.build(Record(fields))
        except UsageError as error:
            return str(error)
        return ""

    def host(self, record: Record) -> str:
        """Scheme and authority of the URL of `record`. Raises InputError for one it cannot be made of."""
        if self.one_host:
            return self.origin
        try:
            url = self._url(record.fields)
        except UsageError as error:
            raise InputError(str(error)) from error
        return re.split("[/?#]", url.partition("://")[2], maxsplit=1)[0].lower()

    def build(self, record: Record) -> Request:
        """The request. Raises InputError for a record it cannot be made of."""
        if record.problem:
            raise InputError(record.problem)
        fields = record.fields
        if self.parse and not isinstance(fields, dict):
            raise InputError("is not an object, but the request asks for fields")
        try:
            url = self._url(fields)
            body = self._encode(record) if self._encode is not None else b""
            own = [(name, _header(name, fill(fields))) for name, fill in self._own]
        except UsageError as error:
            raise InputError(str(error)) from error
        except TypeError as error:
            raise InputError(f"cannot be written as JSON: {error}") from error
        headers = Headers([*self._headers, *own]) if own else self._headers
        if self._template.idempotency_key is not None:
            digest = hashlib.sha256(f"{self._run_id}:{record.key!r}".encode("utf-8", "surrogatepass")).hexdigest()[:32]
            headers = Headers([*headers, (self._template.idempotency_key, digest)])
        return Request(self._template.method, url, headers, body)


def _encoder(template: RequestTemplate, given: set[str]) -> tuple[Callable[[Record], bytes] | None, str]:
    """(record -> body, content type)."""
    if template.body is None:
        if template.method.upper() in _BODILESS:
            return None, ""
        return _record_as_json, "application/json"
    content_type = next((value for name, value in template.headers if name.lower() == "content-type"), "")
    if "content-type" in given and "json" not in content_type.lower():
        check_body(template.body, is_json=False)
        text = text_filler(template.body)
        return lambda record: text(record.fields).encode("utf-8", "replace"), ""
    fill = json_filler(template.body)
    check_body(template.body, is_json=True)
    return lambda record: _as_json(fill(record.fields)), "application/json"


def _header(name: str, value: str) -> str:
    try:
        check_field(name, value)
    except UsageError as error:
        raise UsageError(f"makes a header that cannot be sent: {error}") from error
    return value


def _record_as_json(record: Record) -> bytes:
    return record.raw if record.raw is not None else _as_json(record.fields)


def _as_json(value: Any) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError:
        # A whole number beyond 64 bits.
        return json.dumps(value, separators=(",", ":")).encode()
