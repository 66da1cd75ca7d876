"""Where to ask whether a peer that has taken a request is done with it.

At the URL that it names, by GET (RFC 9110, 15.3.3 and 10.2.2; `Operation-Location` of the Azure guidelines comes first,
because `Location` then is where the result will be). Where it names none, the same request again. When:
`rules/retries/polling`.
"""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

from ..errors import Unexpected
from ..messages import Headers, Request, Response

_FIELDS = ("operation-location", "location")
_PORTS = {"http": 80, "https": 443}
_HARMLESS = frozenset({"accept", "accept-language", "user-agent"})
# Of the request whose result is asked for, and nobody else's.
_OF_THE_REQUEST = frozenset({"host", "idempotency-key", "expect"})


def next_poll(request: object, response: Response, *, other_origins: bool) -> Request | None:
    """The request that asks how far the peer is with `request`; None where there is no other than that one.

    It carries the fields of `request`, but not what describes its body; to another origin, where `other_origins` lets
    it go, only those that tell nothing of the user. Raises Unexpected for a place where it must not go.
    """
    named = next((value for name in _FIELDS if (value := response.headers.get(name))), None)
    if named is None or not isinstance(request, Request):
        return None
    url, same = _target(response.url or request.url, named, response.status)
    if not same and not other_origins:
        raise _refused(
            response.status,
            f"is to be asked for at another origin, {_origin_text(url)}; --follow-redirects 1 lets it go there, "
            "without your header fields",
        )
    fields = [(name, value) for name, value in request.headers if _may_go(name.lower(), same_origin=same)]
    return Request("GET", url, request.headers if len(fields) == len(request.headers) else Headers(fields))


def _may_go(name: str, *, same_origin: bool) -> bool:
    if not same_origin:
        return name in _HARMLESS
    return name not in _OF_THE_REQUEST and not name.startswith("content-")


def _target(base: str, named: str, status: int) -> tuple[str, bool]:
    """The absolute URL, without a fragment, and whether it is on the origin of `base`."""
    # As it came over the wire: raw UTF-8 and spaces are encoded byte by byte.
    quoted = "".join(c if "!" <= c <= "~" else f"%{byte:02X}" for c in named for byte in c.encode("latin-1", "replace"))
    try:
        there, here = urlsplit(urljoin(base, quoted)), urlsplit(base)
        place, home = _place(there.scheme, there.hostname, there.port), _place(here.scheme, here.hostname, here.port)
    except ValueError as error:
        raise _refused(status, f"is to be asked for at what is no URL ({error})") from error
    if there.scheme not in _PORTS or not there.hostname:
        raise _refused(status, f"is to be asked for at {there.scheme or 'no scheme'}:, where no call can go")
    if here.scheme == "https" and there.scheme == "http":
        raise _refused(status, f"is to be asked for without encryption, at http://{there.hostname}; that is refused")
    return there._replace(fragment="").geturl(), place == home


def _place(scheme: str, host: str | None, port: int | None) -> tuple[str, str | None, int | None]:
    return scheme, host, port or _PORTS.get(scheme)


def _origin_text(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")


def _refused(status: int, why: str) -> Unexpected:
    return Unexpected(f"HTTP {status}: what the peer has taken and not done {why}", status=status)
