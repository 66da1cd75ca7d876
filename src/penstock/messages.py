"""Request, Response and Headers: what a Call over HTTP takes and returns.

They know no HTTP library. Field names are compared without case (RFC 9110, 5.1), values are kept as they came.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self

import orjson

from .errors import BadBody, StatusError
from .fields import check_field

_CHARSET = re.compile(r";\s*charset\s*=\s*[\"']?([\w.:+-]+)", re.IGNORECASE)

HeadersLike = Mapping[str, str] | Iterable[tuple[str, str]]
RawFields = list[tuple[bytes, bytes]]
"""Fields as they are on the wire, in order, names in lower case."""


class Headers:
    """An immutable, ordered list of (name, value) fields; look-ups ignore case.

    Raises UsageError for a name that is not a token or a value with CR, LF or NUL.
    """

    __slots__ = ("_fields",)

    def __init__(self, fields: HeadersLike = ()) -> None:
        items = fields.items() if isinstance(fields, Mapping) else fields
        self._fields: tuple[tuple[str, str], ...] = tuple(items)
        for name, value in self._fields:
            check_field(name, value)

    @classmethod
    def from_wire(cls, raw: Iterable[tuple[bytes, bytes]]) -> Headers:
        """Fields as a strict parser delivered them; not checked again."""
        self = cls.__new__(cls)
        self._fields = tuple((n.decode("latin-1"), v.decode("latin-1")) for n, v in raw)
        return self

    def get(self, name: str, default: str | None = None) -> str | None:
        """The first value of `name`, or `default`."""
        wanted = name.lower()
        for field, value in self._fields:
            if field.lower() == wanted:
                return value
        return default

    def get_all(self, name: str) -> list[str]:
        """Every value of `name`, in order."""
        wanted = name.lower()
        return [value for field, value in self._fields if field.lower() == wanted]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.get(name) is not None

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and self._fields == other._fields

    def __hash__(self) -> int:
        return hash(self._fields)

    def __repr__(self) -> str:
        # Values can be secrets, so only names are shown.
        return f"Headers({', '.join(name for name, _ in self._fields)})"


class Request:
    """One HTTP request. `url` is absolute and already percent-encoded; `body` is empty for none.

    Reuse one Headers object for many requests: the client then encodes it once.
    """

    __slots__ = ("body", "headers", "method", "url")

    def __init__(self, method: str, url: str, headers: Headers | HeadersLike = (), body: bytes = b"") -> None:
        self.method = method
        self.url = url
        self.headers = headers if isinstance(headers, Headers) else Headers(headers)
        self.body = body

    def __repr__(self) -> str:
        # The query often carries keys.
        path, mark, _ = self.url.partition("?")
        return f"<Request {self.method} {path}{mark and '?...'} {len(self.body)} B>"


class Response:
    """One complete HTTP response. `body` is decoded (gzip and the like removed) and within the client's cap."""

    __slots__ = ("_headers", "body", "raw_headers", "status", "url")

    def __init__(
        self,
        status: int,
        headers: Headers | HeadersLike = (),
        body: bytes = b"",
        *,
        url: str = "",
        raw_headers: list[tuple[bytes, bytes]] | None = None,
    ) -> None:
        self.status = status
        self.body = body
        self.url = url
        self.raw_headers = raw_headers
        """The fields as they came over the wire; None for those that were given as text."""
        self._headers: Headers | None = None
        if raw_headers is None:
            self._headers = headers if isinstance(headers, Headers) else Headers(headers)

    @property
    def headers(self) -> Headers:
        """The fields; decoded on first use, because most callers of a bulk run never look."""
        if self._headers is None:
            self._headers = Headers.from_wire(self.raw_headers or ())
        return self._headers

    @property
    def held_bytes(self) -> int:
        """About how much memory it takes: the length of the body."""
        return len(self.body)

    @property
    def text(self) -> str:
        """The body as text, in the charset of its Content-Type, else UTF-8; what cannot be read becomes U+FFFD."""
        named = _CHARSET.search(self.headers.get("content-type") or "")
        try:
            return self.body.decode(named[1] if named is not None else "utf-8", "replace")
        except (LookupError, ValueError):
            return self.body.decode("utf-8", "replace")

    def raise_for_status(self) -> Self:
        """The answer itself. Raises StatusError, whose `response` it is, where the status is 400 or more."""
        if self.status < 400:
            return self
        # The query often carries keys.
        error = StatusError(f"HTTP {self.status} from {self.url.partition('?')[0]}", status=self.status)
        error.response = self
        raise error

    def json(self) -> Any:
        """The body as JSON. Raises BadBody, which quotes the beginning of what came instead."""
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError as error:
            start = self.body[:80].decode("utf-8", "replace")
            raise BadBody(f"the answer is not JSON ({error}); it begins {start!r}") from error

    def __repr__(self) -> str:
        return f"<Response {self.status} {len(self.body)} B>"
