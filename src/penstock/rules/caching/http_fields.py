"""Field lines: combined, split as lists, and stripped of what is meant for one connection (RFC 9110, 5 and 7.6.1)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TypeAlias

# As in penstock.messages, which rules do not import: a library comes with it.
RawFields: TypeAlias = list[tuple[bytes, bytes]]
FieldMap: TypeAlias = Mapping[bytes, bytes]

TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]++")
BLANKS = b" \t"

_MEMBER = re.compile(rb'(?:[^",]|"(?:[^"\\]|\\.)*+(?:"|\\?\Z))*+', re.DOTALL)

# RFC 9110, 7.6.1, and RFC 9111, 3.1, which forbids to store the three fields of the proxy in front. Trailer announces
# fields that a stored answer no longer has.
HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authentication-info",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)

# A Connection field that lists one of these is an error at best (RFC 9110, 7.6.1: not for fields meant for all
# recipients) and at worst an attack that removes what protects an answer, so the listing is ignored.
_NEVER_LISTED = frozenset(
    {
        b"age",
        b"authorization",
        b"cache-control",
        b"cdn-cache-control",
        b"content-encoding",
        b"content-length",
        b"content-location",
        b"content-range",
        b"content-type",
        b"cookie",
        b"date",
        b"etag",
        b"expires",
        b"forwarded",
        b"host",
        b"last-modified",
        b"location",
        b"set-cookie",
        b"vary",
        b"via",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-proto",
        b"x-real-ip",
    }
)


def combine(fields: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Lower-case name -> the values of all its lines, outer blanks removed, joined by ", " (RFC 9110, 5.3)."""
    combined: dict[bytes, bytes] = {}
    for name, value in fields:
        lower, value = name.lower(), value.strip(BLANKS)
        earlier = combined.get(lower)
        combined[lower] = value if earlier is None else earlier + b", " + value
    return combined


def split_list(value: bytes) -> list[bytes]:
    """Members of a list field: commas inside quoted strings do not split, empty members vanish (RFC 9110, 5.6.1).

    A quoted string that never ends reaches to the end of the value.
    """
    if b'"' not in value:
        return [member for part in value.split(b",") if (member := part.strip(BLANKS))]
    members: list[bytes] = []
    position = 0
    while position <= len(value):
        match = _MEMBER.match(value, position)
        # The pattern matches the empty string, so there is always a match.
        end = match.end() if match is not None else len(value)
        if member := value[position:end].strip(BLANKS):
            members.append(member)
        position = end + 1
    return members


_NONE: frozenset[bytes] = frozenset()


def end_to_end(fields: RawFields, without: frozenset[bytes] = _NONE) -> RawFields:
    """The fields that travel on and may be stored: without those of one hop and those that Connection lists.

    Nor are those of `without` among them.

    Proxy-Authenticate, Proxy-Authentication-Info and Proxy-Authorization go too: RFC 9110 calls only the last of them
    one hop's affair, but RFC 9111, 3.1, forbids to store any of the three. Names must be in lower case.
    """
    kept: RawFields = []
    listed: frozenset[bytes] | None = None
    for line in fields:
        name = line[0]
        if name not in HOP_BY_HOP:
            if name not in without:
                kept.append(line)
        elif name == b"connection" and (options := nominated(line[1])):
            listed = options if listed is None else listed | options
    return kept if listed is None else [line for line in kept if line[0] not in listed]


ONE_HOP = frozenset({b"keep-alive", b"close"})
"""What nearly every Connection field says: nothing of other fields."""


def nominated(connection: bytes) -> frozenset[bytes]:
    """The fields that a Connection field takes out, besides those that go in any case."""
    if connection in ONE_HOP:
        return _NONE
    return frozenset(option.lower() for option in split_list(connection)) - _NEVER_LISTED - HOP_BY_HOP
