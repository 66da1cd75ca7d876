"""Fields of a request that no key holds and an app may go by all the same: one list, which every face asks.

A client that sets one of them chooses what others are shown, where the answer is stored. So either it does not reach
the app, or the request is passed by; whatever is done, its answer is for nobody else.
"""

from __future__ import annotations

from .cache_key import normalise_host
from .http_fields import FieldMap

OVERRIDES = frozenset(
    {
        b"x-http-method",
        b"x-http-method-override",
        b"x-method-override",
        b"x-middleware-prefetch",
    }
)
"""Fields that clients may well send, and that make another request of it: a DELETE of a POST. They reach the app."""

_PLACES = frozenset(
    {
        b"proxy",
        b"request-uri",
        b"x-envoy-original-host",
        b"x-envoy-original-path",
        b"x-forwarded-base",
        b"x-forwarded-context",
        b"x-forwarded-path",
        b"x-forwarded-prefix",
        b"x-forwarded-root",
        b"x-forwarded-server",
        b"x-forwarded-uri",
        b"x-host",
        b"x-http-destinationurl",
        b"x-http-host-override",
        b"x-http-path-override",
        b"x-ingress-path",
        b"x-invoke-path",
        b"x-invoke-query",
        b"x-invoke-status",
        b"x-matched-path",
        b"x-middleware-rewrite",
        b"x-middleware-subrequest",
        b"x-now-route-matches",
        b"x-original-host",
        b"x-original-method",
        b"x-original-uri",
        b"x-original-url",
        b"x-proxy-url",
        b"x-replaced-path",
        b"x-rewrite-url",
        b"x-script-name",
    }
)
NEVER_KEYED = OVERRIDES | _PLACES
"""Fields by which some frameworks take another URL, method or environment (`Proxy`) than that of the request. There is
no key that could hold them, whoever sends them."""

_HOSTS = (b"x-forwarded-host",)
_SCHEMES = (b"x-forwarded-proto", b"x-forwarded-protocol", b"x-forwarded-scheme", b"x-scheme", b"x-url-scheme")
_SWITCHES = (b"x-forwarded-ssl", b"x-forwarded-https", b"front-end-https")
FORWARDED = frozenset({*_HOSTS, *_SCHEMES, *_SWITCHES, b"forwarded", b"x-forwarded-port"})
"""Fields by which apps build absolute links, when a proxy in front says so. Where that is trusted they are part of the
key (`public_origin`)."""

OF_CLIENT = frozenset({b"client-ip", b"true-client-ip", b"x-client-ip", b"x-cluster-client-ip", b"x-real-ip"})
"""Fields that say who the client is, besides X-Forwarded-For. They tell of the client, not of the URL: an answer that
depends on them is for that client alone and has to say so. A proxy knows better than its clients."""

CLAIMS = _PLACES | FORWARDED | OF_CLIENT
"""What no client may say to the app through a proxy that does not trust it."""


def public_origin(fields: FieldMap, scheme: bytes, authority: bytes) -> tuple[bytes, bytes] | None:
    """Scheme and authority that the app goes by, where the FORWARDED fields are trusted.

    None where they contradict one another: which of them the app believes is not for us to guess. `scheme` and
    `authority` are those of the request. The authority is not normalised.
    """
    said = {fields[name].lower() for name in _SCHEMES if name in fields}
    said |= {b"https" if fields[name].lower() == b"on" else b"http" for name in _SWITCHES if name in fields}
    forwarded = fields.get(b"forwarded", b"").lower()
    if len(said) > 1 or not said <= {b"http", b"https"} or b"host=" in forwarded or b"proto=" in forwarded:
        return None
    public = _with_port(fields.get(b"x-forwarded-host", authority), fields.get(b"x-forwarded-port"))
    return None if public is None else (said.pop() if said else scheme, public)


def _with_port(authority: bytes, port: bytes | None) -> bytes | None:
    if port is None:
        return authority
    if not port.isdigit():
        return None
    _, colon, own = authority.rpartition(b":")
    if colon and own.isdigit():
        # Some apps take the port from here and some from there, so both are told apart by it.
        return authority if own == port else None
    return b"%b:%b" % (authority, port)


def trusted_key(fields: FieldMap, scheme: bytes, host: bytes) -> tuple[bytes, bytes] | None:
    """Scheme and host of the key of a request whose sender is trusted; None where no key holds what it says."""
    if not NEVER_KEYED.isdisjoint(fields):
        return None
    public = public_origin(fields, scheme, host)
    normalised = None if public is None else normalise_host(public[1], public[0])
    return None if public is None or normalised is None else (public[0], normalised)
