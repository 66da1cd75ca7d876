"""What request a redirect asks for (RFC 9110, 15.4)."""

from __future__ import annotations

import urllib.parse

from ..errors import ProtocolError, Sent
from ..fields import HARMLESS_FIELDS
from ..messages import Headers, Request, Response
from .url import UrlOrigin, split_url

REDIRECTS = frozenset({301, 302, 303, 307, 308})
_ABOUT_THE_BODY = {"content-type", "content-encoding", "content-language", "content-location", "content-md5"}


class RedirectTrail:
    """The redirects of one call: at most `limit`, never to where it has been before."""

    __slots__ = ("_limit", "_seen", "_url")

    def __init__(self, request: Request, limit: int) -> None:
        self._limit = limit
        self._url = request.url
        self._seen = {(request.method, request.url)}

    def next_request(self, request: Request, response: Response) -> Request | None:
        """The request to make now; None where `response` is an answer and no redirect.

        Raises ProtocolError for a loop, one redirect too many, a Location that cannot be called, and a step
        from https to http, which would show to everybody on the way what was to be secret.
        """
        location = response.headers.get("location") if response.status in REDIRECTS else None
        if location is None:
            return None
        target = _resolve(request.url, location)
        before, after = split_url(request.url)[0], _origin_of(target, request)
        if before.scheme == "https" and after.scheme == "http":
            raise _refusal(f"{before} redirects to {after}: from https to http is refused")
        if len(self._seen) > self._limit:
            raise _refusal(f"{split_url(self._url)[0]}: more than {self._limit} redirects")
        follow_up = _follow_up(request, response.status, target, same_origin=before == after)
        if (follow_up.method, target) in self._seen:
            raise _refusal(f"{before} redirects in a circle")
        self._seen.add((follow_up.method, target))
        return follow_up


def _follow_up(request: Request, status: int, url: str, *, same_origin: bool) -> Request:
    method, body, headers = request.method, request.body, request.headers
    if not same_origin:
        # What was meant for one origin is no business of another, and APIs have many names for a key; so only what is
        # known to be harmless goes along. The body does: 307 and 308 ask for just that (RFC 9110, 15.4.8 and 15.4.9).
        headers = Headers([(n, v) for n, v in headers if n.lower() in HARMLESS_FIELDS])
    # 301 and 302 change POST to GET because every browser does (RFC 9110, 15.4.2, note); 303 means it.
    if (status in {301, 302} and method == "POST") or (status == 303 and method not in {"GET", "HEAD"}):
        method, body = "GET", b""
        headers = Headers([(n, v) for n, v in headers if n.lower() not in _ABOUT_THE_BODY])
    return Request(method, url, headers, body)


def _resolve(base: str, location: str) -> str:
    # Servers send raw UTF-8 and spaces in Location; what is not printable ASCII is encoded as it came.
    quoted = "".join(c if "!" <= c <= "~" else f"%{byte:02X}" for c in location for byte in c.encode("latin-1"))
    try:
        return urllib.parse.urljoin(base, quoted)
    except ValueError as error:
        raise _refusal("the redirect's Location is not a URL") from error


def _origin_of(url: str, request: Request) -> UrlOrigin:
    try:
        return split_url(url)[0]
    except ValueError as error:
        raise _refusal(f"{split_url(request.url)[0]} redirects to where no call can go ({error})") from error


def _refusal(message: str) -> ProtocolError:
    return ProtocolError(message, sent=Sent.YES)
