"""URLs of pages: parameters in the query, and where a next URL may lead."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from urllib.parse import SplitResult, quote, unquote_plus, unquote_to_bytes, urljoin, urlsplit, urlunsplit

from ...errors import UsageError

_PORTS = {"http": 80, "https": 443}
_BYTE = re.compile(r"%[0-9A-Fa-f]{2}|.", re.DOTALL)


def with_query(url: str, parameters: Mapping[str, str]) -> str:
    """`url` with these query parameters: each takes the place of one of the same name, or comes at the end.

    What else is in the query stays as it is, byte for byte.
    """
    parts = urlsplit(url)
    pieces = [piece for piece in parts.query.split("&") if piece and _name(piece) not in parameters]
    pieces += [f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in parameters.items()]
    return urlunsplit(parts._replace(query="&".join(pieces), fragment=""))


def query_names(url: str) -> list[str]:
    """The names of the query's parameters, in order."""
    return [_name(piece) for piece in urlsplit(url).query.split("&") if piece]


def follow(base: str, target: str, allowed_hosts: Iterable[str], home: str | None = None) -> str:
    """The absolute URL that `target`, found in an answer to `base`, leads to.

    On the same host it keeps to https where `base` is https, whatever the API writes: behind a proxy many do not know
    better. Raises UsageError for another host than that of `home` that is not among `allowed_hosts` (names, or
    `name:port`): whoever writes next URLs could else send the credentials anywhere. `home` is the URL that the user
    gave, None where it is `base`; a redirect, or an allowed host, may have led from the one to the other.
    """
    try:
        # Servers write raw UTF-8 and spaces; what is not printable ASCII is encoded.
        url = urljoin(base, "".join(c if "!" <= c <= "~" else quote(c, safe="") for c in target.strip()))
        here, there = urlsplit(base), urlsplit(url)
        same_host = there.hostname == here.hostname
        if same_host and here.scheme == "https" and there.scheme == "http" and there.port in (None, 80, here.port):
            there = there._replace(scheme="https", netloc=here.netloc)
        meant = here if home is None else urlsplit(home)
        place = _place(there)
        # From http to https, each at its usual port, is no other host but a better way to the same.
        known = place in (_place(meant), (meant.hostname, 443) if _place(meant)[1] == 80 else None)
    except ValueError as error:
        raise UsageError(f"the next page's URL cannot be read: {error}") from error
    if there.scheme not in _PORTS:
        raise UsageError(f"the next page is at {there.scheme or 'no scheme'}:, where no call can go")
    if not known and not {there.hostname, f"{place[0]}:{place[1]}"} & {host.lower() for host in allowed_hosts}:
        raise UsageError(
            f"the next page is on another host, {place[0]}:{place[1]}, which would see what was meant for "
            f"{meant.hostname}:{_place(meant)[1]}; if that is right, give --allow-host {there.hostname}"
        )
    if not known and here.scheme == "https" and there.scheme == "http":
        raise UsageError(f"the next page leads from https to http, to {there.hostname}; that is refused")
    return urlunsplit(there._replace(fragment=""))


def hide(url: str, secret_url: str) -> str:
    """`url` without the query pieces that it shares with `secret_url`, which the user gave and may hold a key.

    An API may encode them in another way. Each leaves its number behind, and how it was spelt, in a form that no URL
    can contain; `reveal` makes of it what was there, to the letter, as an API may have signed it.
    """
    given = urlsplit(secret_url).query.split("&")
    known = {_decoded(piece): at for at, piece in enumerate(given) if piece}
    head, mark, query = url.partition("?")
    pieces = []
    for piece in query.split("&"):
        at = known.get(_decoded(piece))
        if at is None:
            pieces.append(piece)
        else:
            pieces.append(f"\0{at}" if piece == given[at] else f"\0{at}\0{_spelling(piece)}")
    return head + mark + "&".join(pieces)


def reveal(url: str, secret_url: str) -> str:
    """What `hide` was given."""
    given = urlsplit(secret_url).query.split("&")
    head, mark, query = url.partition("?")
    pieces = []
    for piece in query.split("&"):
        at, _, spelling = piece[1:].partition("\0") if piece.startswith("\0") else ("", "", "")
        shown = given[int(at)] if at else piece
        pieces.append(_spell(shown, spelling) if spelling else shown)
    return head + mark + "&".join(pieces)


def _decoded(piece: str) -> bytes:
    return unquote_to_bytes(piece.replace("+", " "))


def _spelling(piece: str) -> str:
    """How each byte of a query piece is written: raw, as a `+`, or in hexadecimal digits, each small or large."""
    written: list[str] = _BYTE.findall(piece)
    return ",".join(
        "".join("s" if digit.islower() else "l" for digit in each[1:]) or ("+" if each == "+" else "r")
        for each in written
    )


def _spell(piece: str, spelling: str) -> str:
    """A query piece, written like that; as it is, where it is another one, of a new key, that it cannot fit."""
    data, hows = _decoded(piece), spelling.split(",")
    if len(data) != len(hows):
        return piece
    written = []
    for byte, how in zip(data, hows, strict=True):
        if how in ("r", "+"):
            written.append("+" if how == "+" else chr(byte))
        else:
            digits = f"{byte:02X}"
            written.append("%" + "".join(d.lower() if h == "s" else d for d, h in zip(digits, how, strict=True)))
    return "".join(written)


def _place(parts: SplitResult) -> tuple[str | None, int | None]:
    return parts.hostname, parts.port or _PORTS.get(parts.scheme)


def _name(piece: str) -> str:
    return unquote_plus(piece.partition("=")[0])
