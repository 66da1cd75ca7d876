"""Cookies by their names: which a request has, and a request or an answer without some of them (RFC 6265, 4)."""

from __future__ import annotations

import fnmatch
import functools
import re
from urllib.parse import unquote_to_bytes

from .cache_control import LONGEST_REMEMBERED
from .http_fields import FieldMap, RawFields

_SEPARATORS = re.compile(rb"[;,]")
_HANGING = bytes(range(33)) + bytes(range(127, 256))
"""What some strip off a name as blanks: control characters, and what Unicode has of them."""
_ODD = re.compile(rb'[",\\\x00-\x1f\x7f-\xff]|(?<!;) ')
_UNDERSCORED = re.compile(r"[.\[ ]")


def without_cookies(cookie: bytes, ignored: tuple[str, ...]) -> bytes:
    """A Cookie field's value without the cookies whose names match one of `ignored` (globs); may be empty."""
    # Clients make as many as they like, and what is remembered is not charged to the budget of the store.
    without = _without_cookies if len(cookie) > LONGEST_REMEMBERED else _remembered_without_cookies
    return without(cookie, ignored)


def _without_cookies(cookie: bytes, ignored: tuple[str, ...]) -> bytes:
    return b"; ".join(
        [pair.strip() for pair in cookie.split(b";") if pair.strip() and not _is_one_of(_name(pair), ignored)]
    )


_remembered_without_cookies = functools.lru_cache(1024)(_without_cookies)


def has_cookie(cookie: bytes, names: tuple[str, ...]) -> bool:
    """Whether a Cookie field's value has a cookie whose name matches one of `names` (globs).

    Whatever a server may take for such a cookie is one: to find a cookie too many here costs a hit, while to miss one
    may show a user's page to others. So commas and blanks separate too (two lines may have been joined by a comma, and
    Python's SimpleCookie splits at blanks), and a name counts in all its `_spellings`.
    """
    return any(
        _is_one_of(name, names)
        for pair in _SEPARATORS.split(cookie)
        for each in (pair, *pair.split()[1:])
        for name in _spellings(each)
    )


def may_hide_cookies(cookie: bytes) -> bool:
    """Whether servers may find other cookies in a Cookie field's value than its pairs between semicolons."""
    return _ODD.search(cookie) is not None


def _spellings(pair: bytes) -> set[str]:
    """The names that servers are known to make of that of `pair`: without what hangs on to it, decoded, as PHP does."""
    raw = pair.partition(b"=")[0]
    found = set()
    for form in (raw, unquote_to_bytes(raw) if b"%" in raw else raw):
        name = form.strip().decode("latin-1")
        found.add(name)
        if not (name.isascii() and name.isidentifier()):
            found |= {form.strip(_HANGING).decode("latin-1"), _UNDERSCORED.sub("_", name)}
    return found


def is_personal(fields: FieldMap) -> bool:
    """Whether a request says who it comes from: it has Authorization or a Cookie."""
    return b"authorization" in fields or b"cookie" in fields


def may_lose_cookies(method: bytes, status: int) -> bool:
    """Whether an answer may go without cookies that it sets, where that lets it be stored.

    A redirect or the answer to a form sets them for what follows.
    """
    return method == b"GET" and not 300 <= status < 400


def without_set_cookies(fields: RawFields, names: tuple[str, ...]) -> RawFields:
    """The field lines of an answer without those that set a cookie whose name matches one of `names` (globs)."""
    return [
        (name, value) for name, value in fields if name.lower() != b"set-cookie" or not _is_one_of(_name(value), names)
    ]


def cookie_names(cookie: bytes) -> tuple[str, ...]:
    """The names of the cookies in a Cookie field's value, each once."""
    return tuple(dict.fromkeys(_name(pair) for pair in cookie.split(b";") if pair.strip()))


def set_cookie_names(fields: RawFields) -> tuple[str, ...]:
    """The names of the cookies that an answer with `fields` sets, each once."""
    return tuple(dict.fromkeys(_name(value) for name, value in fields if name.lower() == b"set-cookie"))


def _name(pair: bytes) -> str:
    return pair.partition(b"=")[0].strip().decode("latin-1")


def _is_one_of(name: str, globs: tuple[str, ...]) -> bool:
    return _expression(globs).match(name) is not None


@functools.lru_cache(64)
def _expression(globs: tuple[str, ...]) -> re.Pattern[str]:
    # One for all: a request may have a thousand cookies.
    return re.compile("|".join(map(fnmatch.translate, globs)) or "(?!)")
