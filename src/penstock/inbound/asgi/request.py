"""What the cache makes of an ASGI scope: a request that it may answer, or the reason to stay out of the way.

A server in front of an app may be lax, and an app believes fields that no key knows. So whatever could make two
requests with one key get two answers is not answered from the cache and not put into it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import quote, unquote_to_bytes

from ...messages import RawFields
from ...rules.caching.cache_key import normalise_host
from ...rules.caching.http_fields import BLANKS, ONE_HOP, combine, nominated
from ...rules.caching.unkeyed import FORWARDED, NEVER_KEYED, public_origin
from ...wire.streams import Receiver
from ..cache.protocols import InboundRequest
from .field_names import UNKEYED, stands_for_unkeyed

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_BODY = frozenset({b"content-length", b"transfer-encoding", b"upgrade"})
_LOOK_TWICE = UNKEYED | _BODY
_SCHEME_BYTES = {"http": b"http", "https": b"https"}
MOST_FIELDS = 100
_LONGEST_TARGET = 8192


class Answering(Protocol):
    """The app at work on a request, as it is seen by whoever waits for the answer."""

    @property
    def error(self) -> BaseException | None:
        """What the app raised."""
        ...

    @property
    def failed(self) -> bool:
        """It ended before its answer was complete, and whoever waited was told so."""
        ...

    def mute(self, receiver: Receiver) -> None:
        """Tell `receiver` no more."""
        ...

    async def wait(self) -> None:
        """Wait until the app has returned. Who waits may be cancelled without any harm to the app."""
        ...

    def raise_error(self) -> None:
        """Raise what the app raised, if it did."""
        ...

    def report(self) -> None:
        """Log what the app raised, where it has ended and nobody else will hear of it."""
        ...


@dataclass(slots=True, eq=False, repr=False)
class AsgiRequest(InboundRequest):
    """A request with the scope it came in, the app that is to answer it, and the run of that app, once there is one."""

    app: App = field(kw_only=True)
    scope: Scope = field(kw_only=True)
    barred: PassBy | None = field(default=None, kw_only=True)
    """Why it may not be answered from the cache, though its URL is certain."""
    run: Answering | None = field(default=None, init=False)
    attended: bool = field(default=False, init=False)
    """Somebody waits for `run` and will raise its error."""

    def error(self) -> BaseException | None:
        """What the app raised that was run for this request."""
        return None if self.run is None else self.run.error


class PassBy(Exception):
    """The cache must have nothing to do with a request. `field` is the one to blame, if it is one."""

    def __init__(self, why: str, field: bytes | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.field = field


def read_request(app: App, scope: Scope, *, trust_forwarded: bool) -> AsgiRequest:
    """The request in `scope`, perhaps `barred`. Raises PassBy where not even its URL is certain."""
    fields, raw, alias = _fields_of(scope["headers"])
    scheme = _SCHEME_BYTES.get(scope.get("scheme", "http"))
    authority = fields.get(b"host")
    if scheme is None or authority is None:
        raise PassBy("no-host")
    has_body = False
    barred = None if alias is None else PassBy("unkeyed-field", alias)
    if not _LOOK_TWICE.isdisjoint(fields):
        has_body = b"transfer-encoding" in fields or fields.get(b"content-length", b"0") != b"0"
        try:
            scheme, authority = _keyed(fields, scheme, authority, trust_forwarded=trust_forwarded)
        except PassBy as passed:
            barred = passed
    # Two Host fields were combined with a comma, which no authority has (RFC 9112, 3.2).
    host = normalise_host(authority, scheme)
    if host is None:
        raise PassBy("bad-host")
    method, target = scope["method"].encode("latin-1"), target_of(scope)
    client = str(scope["client"][0]) if scope.get("client") else ""
    request = AsgiRequest(
        method,
        scheme,
        host,
        target,
        fields,
        raw,
        has_body=has_body,
        unkeyed=barred is not None,
        client=client,
        app=app,
        scope=scope,
        barred=barred,
    )
    if fields.get(b"connection", b"close") not in ONE_HOP:
        # Only now, since an app that is run straight does see them.
        request.take_off(nominated(fields[b"connection"]))
    return request


def _fields_of(headers: Iterable[tuple[bytes, bytes]]) -> tuple[dict[bytes, bytes], RawFields, bytes | None]:
    """The fields combined and as they came, and one that an app may take for an unkeyed one: `X_Original_URL`."""
    raw = [(name.lower(), value.strip(BLANKS)) for name, value in headers]
    if len(raw) > MOST_FIELDS:
        raise PassBy("too-many-fields")
    fields = dict(raw)
    if len(fields) < len(raw):
        fields = combine(raw)
    alias = None
    if b"_" in b"".join(fields):
        # The last one, as apps may take it.
        alias = next((name for name, _ in reversed(raw) if stands_for_unkeyed(name)), None)
    return fields, raw, alias


def length_in(fields: Iterable[tuple[bytes, bytes]]) -> int | None:
    """What Content-Length says, if it can be read; names are in lower case."""
    for name, value in fields:
        if name == b"content-length":
            return int(value) if value.isdigit() and len(value) < 20 else None
    return None


def target_of(scope: Scope) -> bytes:
    """The raw path and query. Raises PassBy for a target with a fragment, or one that is very long."""
    path: str = scope["path"]
    target: bytes | None = scope.get("raw_path")
    if target is None or (target != path.encode("utf-8", "surrogatepass") and not _is_path(target, scope)):
        # The app goes by the decoded path: without a raw one, or where somebody in between rewrote it, so must the key.
        target = quote(path, safe="/!$&'()*+,;=:@~", errors="surrogatepass").encode()
    query: bytes = scope.get("query_string", b"")
    if query:
        target = b"%b?%b" % (target, query)
    if b"#" in target or len(target) > _LONGEST_TARGET:
        # RFC 9112, 3.2: a target has no fragment; who sees one there may take another URL for it than the app does.
        raise PassBy("bad-target")
    return target


def _is_path(raw: bytes, scope: Scope) -> bool:
    if b"?" in raw:
        return False
    decoded = unquote_to_bytes(raw).decode("utf-8", "replace")
    path: str = scope["path"]
    return decoded in (path, scope.get("root_path", "") + path)


def _keyed(
    fields: dict[bytes, bytes], scheme: bytes, authority: bytes, *, trust_forwarded: bool
) -> tuple[bytes, bytes]:
    """Scheme and authority that the app will go by."""
    if b"upgrade" in fields:
        raise PassBy("upgrade")
    for name in NEVER_KEYED.intersection(fields):
        raise PassBy("unkeyed-field", name)
    claimed = FORWARDED.intersection(fields)
    if not claimed:
        return scheme, authority
    if not trust_forwarded:
        raise PassBy("untrusted-field", min(claimed))
    public = public_origin(fields, scheme, authority)
    if public is None:
        raise PassBy("contradiction")
    return public
