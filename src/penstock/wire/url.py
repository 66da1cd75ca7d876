"""Origins and request targets: what of a URL goes on the wire, and what is refused."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import UsageError
from .unix_socket import PREFIX, socket_path

_DEFAULT_PORTS = {"http": 80, "https": 443}
_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<target>[^#]*)", re.DOTALL)
_AUTHORITY = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{0,5}))?")
_PORT = re.compile(r":?[0-9]{1,5}")


@dataclass(frozen=True, slots=True)
class UrlOrigin:
    """Scheme, host and port: what one connection serves (RFC 9110, 4.3.1). Hosts are lower case."""

    scheme: str
    host: str
    """Without the brackets of an IPv6 literal."""
    port: int
    path: str = ""
    """Of a Unix socket, which is then called in place of host and port."""

    @property
    def authority(self) -> str:
        """What the Host field says: the port is left out where it is the scheme's own (RFC 9110, 7.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{PREFIX}{self.path}" if self.path else f"{self.scheme}://{self.authority}"


def split_origin(text: str) -> UrlOrigin:
    """Where a server listens: `http://host:port`, or `unix:/run/app.sock`. Raises UsageError for anything else."""
    if text.startswith(PREFIX):
        return UrlOrigin("http", "localhost", _DEFAULT_PORTS["http"], socket_path(text))
    bare = text.removesuffix("/")
    if _PORT.fullmatch(bare):
        raise UsageError(f"{text!r} has no scheme and no host; write http://127.0.0.1:{bare.removeprefix(':')}")
    if _AUTHORITY.fullmatch(bare):
        raise UsageError(f"{text!r} has no scheme; write http://{bare}")
    origin, target = split_url(text)
    if target != "/":
        raise UsageError(f"{text}: an origin is a scheme, a host and a port, without a path")
    return origin


def split_url(url: str) -> tuple[UrlOrigin, str]:
    """The origin and the request target (path and query; the fragment never leaves the client).

    Raises UsageError for anything but an absolute http or https URL of printable ASCII without userinfo.
    """
    match = _URL.fullmatch(url.split("#", 1)[0])
    if match is None:
        raise UsageError(f"{_shown(url)!r} is not an absolute URL{_hint(url)}")
    scheme = match["scheme"].lower()
    if scheme not in _DEFAULT_PORTS:
        raise UsageError(f"scheme {scheme!r} in {_shown(url)!r}: only http and https can be called")
    origin = _origin(scheme, match["authority"], url)
    target = match["target"]
    return origin, checked_target(target if target.startswith("/") else f"/{target}")


def checked_target(target: str) -> str:
    """`target` unchanged. Raises UsageError unless it is printable ASCII without spaces (RFC 9112, 3.2)."""
    # A space or line break ends the request line early: the rest would be read as fields or a request.
    if target.isascii() and target.isprintable() and " " not in target:
        return target
    raise UsageError(
        f"{_shown(target)!r}: a URL must be percent-encoded; "
        "white space, control characters and non-ASCII characters are refused"
    )


def _origin(scheme: str, authority: str, url: str) -> UrlOrigin:
    if "@" in authority:
        raise UsageError("a user name or password in the URL is refused: send an Authorization header instead")
    match = _AUTHORITY.fullmatch(authority)
    if match is None:
        hint = "" if authority.isascii() else " (write an international name in its xn-- form)"
        raise UsageError(f"{_shown(url)!r}: {authority!r} is not a host{hint}")
    port = int(match["port"] or _DEFAULT_PORTS[scheme])
    if not 0 < port < 65536:
        raise UsageError(f"{_shown(url)!r}: port {port} is not between 1 and 65535")
    return UrlOrigin(scheme, match["host"].strip("[]").lower(), port)


def _hint(url: str) -> str:
    """What to write, where only the scheme is missing."""
    bare = _shown(url)
    authority = bare.partition("/")[0]
    is_host = _AUTHORITY.fullmatch(authority) is not None and ("." in authority or ":" in authority)
    return f": write http://{bare}" if is_host else " such as https://host/path"


def _shown(url: str) -> str:
    # A query often carries keys, so an error message never quotes it.
    bare = re.split(r"[?#]", url, maxsplit=1)[0]
    return re.sub(r"//[^/]*@", "//", bare)[:200]
