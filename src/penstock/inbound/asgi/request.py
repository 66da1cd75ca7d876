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
from ...wire.streams import Receiver
from ..cache.protocols import InboundRequest

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

NEVER_KEYED = frozenset(
    {
        b"x-forwarded-path",
        b"x-forwarded-prefix",
        b"x-forwarded-server",
        b"x-forwarded-uri",
        b"x-host",
        b"x-http-host-override",
        b"x-http-method",
        b"x-http-method-override",
        b"x-method-override",
        b"x-original-host",
        b"x-original-uri",
        b"x-original-url",
        b"x-rewrite-url",
        b"x-script-name",
    }
)
"""Fields by which some frameworks take another URL or method than that of the request. A request that carries one is
always passed by."""

_HOSTS = (b"x-forwarded-host",)
_SCHEMES = (b"x-forwarded-proto", b"x-forwarded-protocol", b"x-forwarded-scheme", b"x-url-scheme")
_SWITCHES = (b"x-forwarded-ssl", b"front-end-https")
FORWARDED = frozenset({*_HOSTS, *_SCHEMES, *_SWITCHES, b"forwarded", b"x-forwarded-port"})
"""Fields by which apps build absolute links, when a proxy in front says so. A request that carries one is passed by,
unless they are trusted: then they are part of the key. X-Forwarded-For and X-Real-IP are in neither list: they tell of
the client, not of the URL, and an answer that depends on those is for that client alone and has to say so."""

_BODY = frozenset({b"content-length", b"transfer-encoding", b"upgrade"})
_LOOK_TWICE = NEVER_KEYED | FORWARDED | _BODY
_SCHEME_BYTES = {"http": b"http", "https": b"https"}
_MOST_FIELDS = 100
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
    headers = scope["headers"]
    fields: dict[bytes, bytes] = {}
    raw: RawFields = []
    for name, value in headers:
        name, value = name.lower(), value.strip(b" \t")
        raw.append((name, value))
        earlier = fields.get(name)
        fields[name] = value if earlier is None else earlier + b", " + value
    if len(raw) > _MOST_FIELDS:
        raise PassBy("too-many-fields")
    scheme = _SCHEME_BYTES.get(scope.get("scheme", "http"))
    authority = fields.get(b"host")
    if scheme is None or authority is None:
        raise PassBy("no-host")
    has_body = False
    barred = None
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
    return AsgiRequest(
        method, scheme, host, target, fields, raw, has_body=has_body, client=client, app=app, scope=scope, barred=barred
    )


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
    return _public_scheme(fields, scheme), _public_authority(fields, authority)


def _public_scheme(fields: dict[bytes, bytes], scheme: bytes) -> bytes:
    said = {fields[name].lower() for name in _SCHEMES if name in fields}
    said |= {b"https" if fields[name].lower() == b"on" else b"http" for name in _SWITCHES if name in fields}
    if len(said) > 1 or not said <= {b"http", b"https"}:
        # Which of them the app believes is not for us to guess.
        raise PassBy("contradiction")
    return said.pop() if said else scheme


def _public_authority(fields: dict[bytes, bytes], authority: bytes) -> bytes:
    forwarded = fields.get(b"forwarded", b"").lower()
    if b"host=" in forwarded or b"proto=" in forwarded:
        raise PassBy("unkeyed-field", b"forwarded")
    authority = fields.get(b"x-forwarded-host", authority)
    port = fields.get(b"x-forwarded-port")
    if port is None:
        return authority
    if not port.isdigit():
        raise PassBy("contradiction")
    _, colon, own = authority.rpartition(b":")
    if colon and own.isdigit():
        # Some apps take the port from here and some from there, so both are told apart by it.
        if own != port:
            raise PassBy("contradiction")
        return authority
    return b"%b:%b" % (authority, port)
