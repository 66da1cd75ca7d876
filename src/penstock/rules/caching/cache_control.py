"""Cache-Control of a response (RFC 9111, 5.2.2; RFC 5861; RFC 8246), read so that doubt never leads to storing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

from .http_fields import TOKEN, split_list

LONGEST_DELTA = 2**31
"""Seconds at which durations are cut (RFC 9111, 1.2.2)."""

# Longer values are read each time: remembering them would let an origin fill the memory with rubbish.
LONGEST_REMEMBERED = 512

# Every repetition is possessive: with backtracking, a run of blanks before an error would cost its length squared.
_MEMBER = re.compile(
    rb"[ \t]*+(?:("
    + TOKEN.pattern
    + rb')(?:=(?:("(?:[^"\\\x00-\x08\x0a-\x1f\x7f]|\\[\t -~\x80-\xff])*+")|('
    # An empty argument is no grammar, but `private=` has a meaning that nobody would miss.
    + TOKEN.pattern
    + rb")?+)?+)?+)?+[ \t]*+(?:,|\Z)"
)
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)

FLAGS = {
    b"no-store": "no_store",
    b"public": "public",
    b"must-revalidate": "must_revalidate",
    b"proxy-revalidate": "proxy_revalidate",
    b"must-understand": "must_understand",
    b"immutable": "immutable",
    b"no-transform": "no_transform",
}
DELTAS = {b"max-age": "max_age", b"s-maxage": "s_maxage"}
# These two only grant something: where they cannot be read (Next.js once sent the first without a value), nothing is
# granted and the rest of the field still counts.
GRANTS = {b"stale-while-revalidate": "stale_while_revalidate", b"stale-if-error": "stale_if_error"}
QUALIFIED = {b"private": "private", b"no-cache": "no_cache"}


Found: TypeAlias = dict[str, bool | int | tuple[bytes, ...]]
"""Attributes of `Directives` as they are found."""


@dataclass(frozen=True, slots=True)
class Directives:
    """What a response asks of caches. Durations in seconds, None where absent.

    `private` and `no_cache` are the unqualified forms; names of the qualified forms stand in `private_fields` and
    `no_cache_fields`, in lower case. `malformed`: something could not be read, so nothing else here counts and the
    response must not be stored. `targeted`: the directives come from a field of RFC 9213, so Expires is ignored.
    `by_policy`: the operator says them, where the response says nothing.
    """

    no_store: bool = False
    no_cache: bool = False
    no_cache_fields: tuple[bytes, ...] = ()
    private: bool = False
    private_fields: tuple[bytes, ...] = ()
    public: bool = False
    must_revalidate: bool = False
    proxy_revalidate: bool = False
    must_understand: bool = False
    immutable: bool = False
    no_transform: bool = False
    max_age: float | None = None
    s_maxage: float | None = None
    stale_while_revalidate: float | None = None
    stale_if_error: float | None = None
    malformed: bool = False
    targeted: bool = False
    by_policy: bool = False


NO_DIRECTIVES = Directives()
MALFORMED = Directives(malformed=True)


def parse_cache_control(value: bytes | None) -> Directives:
    """The directives of a combined Cache-Control value; None where there is no such field.

    Unknown directives are ignored, names know no case. Of a duration given twice the smaller one counts (RFC 9111,
    4.2.1, leaves the choice). Blanks round "=", an argument where none belongs, a lifetime that is not digits, a quote
    that never ends: `malformed`. A qualified form without a readable name counts as the unqualified one.
    """
    if value is None:
        return NO_DIRECTIVES
    if len(value) > LONGEST_REMEMBERED:
        return _parse(value)
    return _remembered(value)


def _parse(value: bytes) -> Directives:
    found: Found = {}
    position, end = 0, len(value)
    while position < end:
        match = _MEMBER.match(value, position)
        if match is None:
            return MALFORMED
        name, quoted, token = match.groups()
        if name is not None:
            equals = match.end(1)
            has_argument = equals < end and value[equals] == 0x3D
            argument = (unquote(quoted) if quoted is not None else token or b"") if has_argument else None
            if not _take(found, name.lower(), argument):
                return MALFORMED
        position = match.end()
    return Directives(**found) if found else NO_DIRECTIVES  # type: ignore[arg-type]  # names and types go together above


_remembered = lru_cache(4096)(_parse)


def _take(found: Found, name: bytes, argument: bytes | None) -> bool:
    if name in FLAGS:
        found[FLAGS[name]] = True
        return argument is None
    if name in DELTAS:
        seconds = None if argument is None else parse_delta(argument)
        return seconds is not None and keep_smaller(found, DELTAS[name], seconds)
    if name in GRANTS and argument is not None:
        seconds = parse_delta(argument)
        return seconds is None or keep_smaller(found, GRANTS[name], seconds)
    if name in QUALIFIED:
        take_qualified(found, QUALIFIED[name], argument)
    return True


def parse_delta(value: bytes) -> int | None:
    """delta-seconds (RFC 9111, 1.2.2): digits only, cut at `LONGEST_DELTA`; None for anything else."""
    # isdigit() of bytes is true for ASCII digits alone. int() refuses thousands of digits, hence the length.
    if not value.isdigit():
        return None
    digits = value.lstrip(b"0")
    return LONGEST_DELTA if len(digits) > 10 else min(int(digits or b"0"), LONGEST_DELTA)


def keep_smaller(found: Found, attribute: str, seconds: int) -> bool:
    """Note a duration unless a smaller one is there already; always True."""
    earlier = found.get(attribute)
    if not isinstance(earlier, int) or seconds < earlier:
        found[attribute] = seconds
    return True


def take_qualified(found: Found, attribute: str, argument: bytes | None) -> None:
    """Note `private` or `no_cache`; with an argument that is a list of names, only for those names."""
    names = tuple(name.lower() for name in split_list(argument or b""))
    if not names or not all(TOKEN.fullmatch(name) for name in names):
        found[attribute] = True
        return
    earlier = found.get(attribute + "_fields", ())
    found[attribute + "_fields"] = (earlier if isinstance(earlier, tuple) else ()) + names


def unquote(quoted: bytes) -> bytes:
    """The text of a quoted-string (RFC 9110, 5.6.4), given with its quotes."""
    return _ESCAPED.sub(rb"\1", quoted[1:-1])
