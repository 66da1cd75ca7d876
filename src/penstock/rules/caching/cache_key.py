"""What tells stored responses apart: the key of a URI (RFC 9111, 2) and the variant by Vary (4.1)."""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache

from .cache_control import LONGEST_REMEMBERED
from .codings import ENCODING, NAMES, Choices, choice_for, offer_of
from .http_fields import BLANKS, HOP_BY_HOP, TOKEN, FieldMap, split_list
from .preferences import in_order

_NAME = re.compile(rb"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*\.?")
_AUTHORITY = re.compile(rb"(\[[0-9a-f:.]{2,45}\]|[a-z0-9._-]{1,255})(?::([0-9]{0,5}))?")
_DEFAULT_PORTS = {b"http": 80, b"https": 443}
_LONGEST_HOST = 262


def normalise_host(host: bytes, scheme: bytes) -> bytes | None:
    """The authority in the one form used for keys, or None where it is none (RFC 9110, 4.2.3; RFC 3986, 6.2.2).

    Lower case, no default port, IPv6 in its shortest form. User information, blanks, empty labels, percent escapes,
    anything but ASCII, ports outside of 1 to 65535: None. A trailing dot stays and makes another host: an application
    may put the name into its links, and must not do so for those who left the dot out.
    """
    return _normalised_host(host, scheme) if 0 < len(host) <= _LONGEST_HOST else None


@lru_cache(4096)
def _normalised_host(host: bytes, scheme: bytes) -> bytes | None:
    match = _AUTHORITY.fullmatch(host.lower())
    if match is None:
        return None
    name: bytes = match[1]
    if name.startswith(b"["):
        try:
            name = b"[" + ipaddress.IPv6Address(name[1:-1].decode()).compressed.encode() + b"]"
        except ValueError:
            return None
    elif not _NAME.fullmatch(name):
        return None
    if not match[2]:
        return name
    port = int(match[2])
    if not 0 < port < 65536:
        return None
    return name if port == _DEFAULT_PORTS.get(scheme) else b"%s:%d" % (name, port)


def primary_key(scheme: bytes, host: bytes, target: bytes) -> bytes:
    """The URI as bytes, unambiguous for a `host` out of `normalise_host`; the target is neither decoded nor changed."""
    if target.startswith(b"/"):
        return b"%s://%s%s" % (scheme, host, target)
    # Neither a scheme nor a host has a blank, so no other target can give the same key.
    return b"%s://%s %s" % (scheme, host, target)


def drop_parameters(target: bytes, patterns: tuple[bytes, ...]) -> bytes:
    """The target without the query parameters whose names match a glob (`utm_*`, `gclid`); the rest keeps its bytes.

    A parameter with `;`, `?` or `#` in it stays: an application that splits there would see another one inside, which
    would then be missing from the key. Names are compared as they are written, escapes and all.
    """
    path, mark, query = target.partition(b"?")
    if not mark or not patterns:
        return target
    dropped = _globs(patterns)
    parts = query.split(b"&")
    kept = [part for part in parts if _HIDDEN.search(part) or not dropped.fullmatch(part.partition(b"=")[0])]
    if len(kept) == len(parts):
        return target
    return path + b"?" + b"&".join(kept) if kept else path


_HIDDEN = re.compile(rb"[;?#]")


@lru_cache(64)
def _globs(patterns: tuple[bytes, ...]) -> re.Pattern[bytes]:
    return re.compile(b"|".join(b"(?:%s)" % _glob(pattern) for pattern in patterns), re.DOTALL)


def _glob(pattern: bytes) -> bytes:
    """A glob of `*` and `?` as an expression. What stands between stars is taken where it comes first."""
    first, *others = [b".".join(map(re.escape, piece.split(b"?"))) for piece in pattern.split(b"*")]
    if not others:
        return first
    return first + b"".join(b"(?>.*?%s)" % piece for piece in others[:-1]) + b".*" + others[-1]


def vary_names(fields: FieldMap) -> tuple[bytes, ...] | None:
    """Names that Vary lists: lower case, sorted, each once; () without Vary.

    None where `*` is among them (RFC 9110, 12.5.5) or one is no field name, and so the response matches no request.
    """
    value = fields.get(b"vary")
    if value is None:
        return ()
    return _names(value) if len(value) > LONGEST_REMEMBERED else _remembered_names(value)


def _names(value: bytes) -> tuple[bytes, ...] | None:
    # Vary knows no quoted strings, so a quote is no shelter for a comma, and is itself an error below.
    names = {name.lower() for part in value.split(b",") if (name := part.strip(BLANKS))}
    if b"*" in names or not all(TOKEN.fullmatch(name) for name in names):
        return None
    return tuple(sorted(names))


_remembered_names = lru_cache(4096)(_names)

_PREFERENCES = frozenset({b"accept", b"accept-charset", b"accept-language"})
# Not lists, or too precious for a guess about what their blanks mean.
_EXACT = frozenset(
    {b"authorization", b"cookie", b"host", b"if-match", b"if-none-match", b"origin", b"referer", b"user-agent"}
)


def variant_of(names: tuple[bytes, ...], request_fields: FieldMap, coding: bytes | None = None) -> bytes:
    """The part of the key that Vary adds: equal for requests that RFC 9111, 4.1, lets share a response.

    `coding`: what stands for Accept-Encoding, where that is known; else the field counts as it is written.

    A field that is absent differs from an empty one. Blanks round commas do not count, nor the case of languages,
    codings and media types, nor the order where weights say another. The order of equals does, since frameworks take it
    for the order of preference, but for codings. Cookie, Authorization and fields that are no lists count as they are.
    Fields of one hop are absent for the app, so they are here; those that Connection lists have been taken off before.
    """
    if not names:
        return b""
    parts: list[bytes] = []
    for name in names:
        value = request_fields.get(name)
        if name == ENCODING and coding is not None:
            # A brace cannot stand in a name either.
            parts.append(b"%s{%s}" % (name, coding))
            continue
        if value is None or name in HOP_BY_HOP:
            # A semicolon and an equals sign cannot stand in a name, so each part can only be read one way.
            parts.append(name + b";")
            continue
        if name not in _EXACT:
            value = _normalised(name, value)
        parts.append(b"%s=%d:%s" % (name, len(value), value))
    return b"".join(parts)


def variants_of(names: tuple[bytes, ...], request_fields: FieldMap, choices: Choices) -> tuple[bytes, ...]:
    """The variants that a request may be answered with, by what is known of the codings that the app chooses.

    The one in the coding that it will choose, if that is known, and the one for just these words.
    """
    as_written = variant_of(names, request_fields)
    if choices and ENCODING in names:
        coding = choice_for(offer_of(request_fields.get(ENCODING)), choices)
        if coding is not None:
            return variant_of(names, request_fields, NAMES[coding]), as_written
    return (as_written,)


def shared_variant(names: tuple[bytes, ...], request_fields: FieldMap, choices: Choices) -> bytes:
    """Equal for requests that may have the same answer, as far as is known before there is one."""
    if ENCODING not in names:
        return variant_of(names, request_fields)
    offer = offer_of(request_fields.get(ENCODING))
    coding = choice_for(offer, choices)
    return variant_of(names, request_fields, b"%d" % offer if coding is None else NAMES[coding])


def _normalised(name: bytes, value: bytes) -> bytes:
    if name == ENCODING:
        return _codings(value) if len(value) > LONGEST_REMEMBERED else _remembered_codings(value)
    if name in _PREFERENCES:
        return in_order(value)
    if b"," not in value:
        return value.strip(BLANKS)
    if b'"' not in value:
        return b",".join([part.strip(BLANKS) for part in value.split(b",")])
    return b",".join(split_list(value)) if value.count(b'"') % 2 == 0 else value


def _codings(value: bytes) -> bytes:
    members = [b";".join([part.strip(BLANKS) for part in member.split(b";")]) for member in split_list(value.lower())]
    # Which coding a client can read depends on the set and its weights alone (RFC 9110, 12.5.3).
    return b",".join(sorted(set(members)))


_remembered_codings = lru_cache(1024)(_codings)
