"""From what a user writes to a Request: a place below a base, parameters, fields, and a body."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias
from urllib.parse import quote, urlencode

import orjson

from ..errors import UsageError
from ..fields import HARMLESS_FIELDS
from ..messages import Headers, HeadersLike, Request

Params: TypeAlias = Mapping[str, Any] | Iterable[tuple[str, Any]]
Data: TypeAlias = bytes | str | Mapping[str, Any]

_ABSOLUTE = re.compile(r"https?://", re.IGNORECASE)
_ORIGIN = re.compile(r"https?://[^/?#]*", re.IGNORECASE)
_KEPT = "!#$%&'()*+,/:;=?@[]~"
_FORM = "application/x-www-form-urlencoded"


class RequestMaker:
    """Makes requests. `base` is what URLs begin with that are not absolute, `headers` goes along with each.

    To another origin than that of `base` only harmless fields of `headers` go along: others may let somebody in.
    Raises UsageError.
    """

    def __init__(self, base: str | None, headers: HeadersLike) -> None:
        if base is not None and not _ABSOLUTE.match(base):
            raise UsageError(f"the base must be an absolute URL such as https://host/path, not {base!r}")
        if base is not None and ("?" in base or "#" in base):
            raise UsageError("the base cannot have a query or a fragment")
        self._base = None if base is None else base.rstrip("/")
        self._origin = None if base is None else _origin_of(base)
        self._headers = headers if isinstance(headers, Headers) else Headers(headers)
        self._harmless = Headers([(name, value) for name, value in self._headers if name.lower() in HARMLESS_FIELDS])
        # The client encodes a Headers object once.
        self._with_type: dict[tuple[bool, str], Headers] = {}

    def make(
        self,
        method: str,
        url: str,
        *,
        params: Params | None = None,
        headers: HeadersLike | None = None,
        json: Any = None,
        data: Data | None = None,
    ) -> Request:
        """One request."""
        if not isinstance(url, str) or not isinstance(method, str):
            raise UsageError(f"method and URL are text, not {method!r} and {type(url).__name__}")
        where = self._absolute(url)
        if params is not None:
            where = _with_params(where, params)
        if json is not None and data is not None:
            raise UsageError("give json or data, not both")
        body, kind = _body(json, data)
        return Request(method.upper(), where, self._fields(where, headers, kind), body)

    def _absolute(self, url: str) -> str:
        if not _ABSOLUTE.match(url):
            if self._base is None:
                raise UsageError(f"{url.partition('?')[0]!r} is not absolute: give Http a base, or the whole URL")
            url = self._base + (url if url.startswith(("/", "?")) or not url else f"/{url}")
        return url if url.isascii() and url.isprintable() and " " not in url else quote(url, safe=_KEPT)

    def _fields(self, url: str, headers: HeadersLike | None, kind: str) -> Headers:
        away = self._origin is not None and _origin_of(url) != self._origin
        ours = self._harmless if away else self._headers
        if headers:
            own = list(headers.items() if isinstance(headers, Mapping) else headers)
            given = {name.lower() for name, _ in own}
            return _typed([*[each for each in ours if each[0].lower() not in given], *own], kind)
        if not kind:
            return ours
        known = self._with_type.get((away, kind))
        if known is None:
            known = self._with_type[away, kind] = _typed(list(ours), kind)
        return known


def _typed(fields: list[tuple[str, str]], kind: str) -> Headers:
    if kind and not any(name.lower() == "content-type" for name, _ in fields):
        fields.append(("Content-Type", kind))
    return Headers(fields)


def _origin_of(url: str) -> str:
    match = _ORIGIN.match(url)
    return "" if match is None else match[0].lower()


def _with_params(url: str, params: Params) -> str:
    pairs = params.items() if isinstance(params, Mapping) else params
    text = urlencode([(name, _text(each)) for name, value in pairs for each in _values(value)])
    if not text:
        return url
    bare, mark, fragment = url.partition("#")
    return f"{bare}{'&' if '?' in bare else '?'}{text}{mark}{fragment}"


def _values(value: Any) -> Iterable[Any]:
    """None is left out, a list stands for several of the name."""
    if value is None:
        return ()
    return value if isinstance(value, (list, tuple)) else (value,)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _body(json: Any, data: Data | None) -> tuple[bytes, str]:
    """The bytes, and what kind they are; empty where that is not known."""
    if json is not None:
        try:
            return orjson.dumps(json), "application/json"
        except TypeError as error:
            raise UsageError(f"json cannot be written as JSON: {error}") from error
    if data is None or isinstance(data, bytes):
        return data or b"", ""
    if isinstance(data, str):
        return data.encode(), ""
    if not isinstance(data, Mapping):
        raise UsageError(f"data is bytes, text or a mapping of form fields, not {type(data).__name__}")
    pairs = [(name, _text(each)) for name, value in data.items() for each in _values(value)]
    return urlencode(pairs).encode(), _FORM
