"""The admin address: purge, explain, statistics and metrics over HTTP, for who has the token, and for nobody else.

`POST /purge` takes a JSON object: `url` (a text or a list), `tag` (likewise) or `all: true`, and `soft: true`.
`GET /explain?url=...&header=Name:%20value`, `GET /stats?top=20&with_query=1` and `GET /metrics` change nothing.

Browsers cannot be made to do any of it by a page of somebody else's: it needs a header field that no form can set, no
answer allows another origin to read it (no CORS), a body must say that it is JSON, and what names an origin is refused.
"""

from __future__ import annotations

import hmac
import urllib.parse
from collections.abc import Callable
from typing import Any

import orjson

from ...errors import UsageError
from ...messages import Headers
from ...wire.server import ServerExchange
from ..cache.purging import MAX_NAMES
from .desk import Desk, OwnDesk
from .metrics import CONTENT_FIELDS
from .snapshot import Watched

MAX_BODY = 64 * 1024
LEAST_TOKEN = 16
CHALLENGE = b'Bearer realm="penstock admin"'
"""By this a client knows that it is an admin address that it is about to give the token to."""
_MOST_ROWS = 200
_MOST_FIELDS = 50
_JSON = [
    (b"content-type", b"application/json"),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
]
_REASONS = {
    200: b"OK",
    400: b"Bad Request",
    401: b"Unauthorized",
    403: b"Forbidden",
    404: b"Not Found",
    405: b"Method Not Allowed",
    413: b"Content Too Large",
    415: b"Unsupported Media Type",
    501: b"Not Implemented",
    503: b"Service Unavailable",
}


def checked_token(token: str) -> bytes:
    """The token as it is compared. Raises UsageError for one that can be guessed, or cannot be sent in a field."""
    if len(token) < LEAST_TOKEN:
        raise UsageError(f"the admin token has {len(token)} characters; it needs {LEAST_TOKEN} or more")
    if not all("!" <= each <= "~" for each in token):
        raise UsageError("the admin token may have printable ASCII characters only, and no blanks")
    return token.encode()


class AdminHandler:
    """A Handler for an address of its own. Raises UsageError for a token that is too short or cannot be sent."""

    def __init__(self, watched: Watched | Desk, token: str) -> None:
        self._desk = OwnDesk(watched) if isinstance(watched, Watched) else watched
        self._expected = b"bearer " + checked_token(token)
        self._gets: dict[bytes, Callable[[ServerExchange, dict[str, list[str]]], None]] = {
            b"/explain": self._explain,
            b"/stats": self._stats,
            b"/metrics": self._serve_metrics,
        }

    def known(self, data: bytes) -> bytes | None:
        """None: no answer is known beforehand."""

    def begin(self, exchange: ServerExchange) -> None:
        """Answer who has the token, and no page in a browser."""
        head = exchange.head
        if not self._may_enter(head.fields):
            say(exchange, 401, error="the admin token is missing or wrong", fields=[(b"www-authenticate", CHALLENGE)])
            return
        if any(name == b"origin" for name, _ in head.fields):
            say(exchange, 403, error="requests from pages in a browser are refused")
            return
        path, _, query = head.target.partition(b"?")
        get = self._gets.get(path)
        allowed = (b"POST",) if path == b"/purge" else (b"GET", b"HEAD")
        if get is None and path != b"/purge":
            say(exchange, 404, error="there are /purge, /explain, /stats and /metrics")
        elif head.method not in allowed:
            say(exchange, 405, error="another method is needed here", fields=[(b"allow", b", ".join(allowed))])
        elif get is None:
            self._take_body(exchange)
        else:
            self._get(exchange, get, query)

    def _may_enter(self, fields: list[tuple[bytes, bytes]]) -> bool:
        given = [value for name, value in fields if name == b"authorization"]
        if len(given) != 1:
            return False
        scheme, _, token = given[0].partition(b" ")
        return hmac.compare_digest(scheme.lower() + b" " + token.strip(b" "), self._expected)

    # What changes nothing.

    def _get(
        self, exchange: ServerExchange, get: Callable[[ServerExchange, dict[str, list[str]]], None], query: bytes
    ) -> None:
        try:
            parameters = urllib.parse.parse_qs(
                query.decode("latin-1"), keep_blank_values=True, max_num_fields=_MOST_FIELDS
            )
            get(exchange, parameters)
        except ValueError as error:
            # UsageError is one as well.
            say(exchange, 400, error=str(error))

    def _explain(self, exchange: ServerExchange, parameters: dict[str, list[str]]) -> None:
        urls = parameters.pop("url", [])
        fields = [_field(text) for text in parameters.pop("header", [])]
        _refuse_others(parameters)
        if len(urls) != 1:
            raise UsageError("give one url: /explain?url=http%3A%2F%2Fhost%2Fpath")
        self._ask(exchange, "explain", {"url": urls[0], "fields": fields})

    def _stats(self, exchange: ServerExchange, parameters: dict[str, list[str]]) -> None:
        top = parameters.pop("top", ["20"])[-1]
        with_query = parameters.pop("with_query", ["0"])[-1]
        _refuse_others(parameters)
        if not (top.isascii() and top.isdigit() and int(top) <= _MOST_ROWS):
            raise UsageError(f"top is a number from 0 to {_MOST_ROWS}")
        if with_query not in ("0", "1"):
            raise UsageError("with_query is 0 or 1")
        self._ask(exchange, "stats", {"top": int(top), "with_query": with_query == "1"})

    def _serve_metrics(self, exchange: ServerExchange, parameters: dict[str, list[str]]) -> None:
        del parameters

        def then(text: bytes | None, missing: str) -> None:
            if text is None:
                say(exchange, 501, error=missing)
            else:
                exchange.respond(200, b"OK", CONTENT_FIELDS, text)

        self._desk.metrics(then)

    def _ask(self, exchange: ServerExchange, what: str, asked: dict[str, Any]) -> None:
        self._desk.ask(what, asked, lambda status, answer: say(exchange, status, answer))

    # Purging.

    def _take_body(self, exchange: ServerExchange) -> None:
        head = exchange.head
        kinds = [value for name, value in head.fields if name == b"content-type"]
        if len(kinds) != 1 or kinds[0].partition(b";")[0].strip().lower() != b"application/json":
            say(exchange, 415, error="the body must be JSON, and Content-Type must say application/json")
        elif head.content_length is not None and head.content_length > MAX_BODY:
            self._too_large(exchange)
        elif not head.has_body:
            say(exchange, 400, error='there is no body; send {"url": ...}, {"tag": ...} or {"all": true}')
        else:
            parts = bytearray()
            exchange.receive_body(lambda data: self._more(exchange, parts, data), lambda: self._purge(exchange, parts))

    def _more(self, exchange: ServerExchange, parts: bytearray, data: bytes) -> None:
        if exchange.done:
            return
        parts += data
        if len(parts) > MAX_BODY:
            parts.clear()
            self._too_large(exchange)

    def _too_large(self, exchange: ServerExchange) -> None:
        say(exchange, 413, error=f"a purge may have {MAX_BODY} bytes")

    def _purge(self, exchange: ServerExchange, parts: bytearray) -> None:
        if exchange.done:
            return
        try:
            asked = read_purge(bytes(parts))
        except UsageError as error:
            say(exchange, 400, error=str(error))
        else:
            self._ask(exchange, "purge", asked)


def read_purge(body: bytes) -> dict[str, Any]:
    """The arguments of `purging.purge` out of the body of a request. Raises UsageError."""
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise UsageError(f"the body is not JSON: {error}") from None
    if not isinstance(data, dict):
        raise UsageError('the body must be an object: {"url": ...}, {"tag": ...} or {"all": true}')
    unknown = sorted(data.keys() - {"url", "tag", "all", "soft"})
    if unknown:
        raise UsageError(f"unknown: {', '.join(unknown)[:100]}; there are url, tag, all and soft")
    for name in ("all", "soft"):
        if not isinstance(data.get(name, False), bool):
            raise UsageError(f"{name} must be true or false")
    return {
        "urls": _texts(data, "url"),
        "tags": _texts(data, "tag"),
        "everything": data.get("all", False),
        "soft": data.get("soft", False),
    }


def _texts(data: dict[str, Any], name: str) -> list[str]:
    value = data.get(name, [])
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(each, str) for each in texts):
        raise UsageError(f"{name} must be a text or a list of at most {MAX_NAMES} texts")
    return texts


def _field(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon:
        raise UsageError("header: write Name: value")
    Headers([(name.strip(), value.strip())])
    return name.strip().lower(), value.strip()


def _refuse_others(parameters: dict[str, list[str]]) -> None:
    if parameters:
        raise UsageError(f"unknown: {', '.join(sorted(parameters))[:100]}")


def say(
    exchange: ServerExchange,
    status: int,
    answer: dict[str, Any] | None = None,
    *,
    error: str = "",
    fields: list[tuple[bytes, bytes]] | None = None,
) -> None:
    """Answer with JSON: `answer`, or an object with `error`."""
    body = orjson.dumps({"error": error} if answer is None else answer, option=orjson.OPT_APPEND_NEWLINE)
    exchange.respond(status, _REASONS[status], _JSON + (fields or []), body)
