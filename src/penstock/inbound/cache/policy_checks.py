"""Mistakes in a policy: what cannot be meant is refused, with the key and what to write instead."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple
from urllib.parse import quote

from ...rules.caching.policy_ttl import refused_status
from ...rules.caching.surrogate_tags import is_tag
from .policy_match import expression_of

PLACES = ("match", "prefix", "pattern")
WHERE = frozenset({*PLACES, "query"})
"""The keys that say for which requests an entry is."""
LISTS = frozenset(
    {"query", "ignore_cookies", "bypass_cookies", "unkeyed_cookies", "drop_query", "strip_set_cookie"}
    | {"accept_language", "tags"}
)
DURATIONS = frozenset({"ttl", "stale_while_revalidate", "stale_if_error"})
SWITCHES = frozenset({"public", "sort_query", "bypass"})
KEYS = frozenset({*WHERE, *LISTS, *DURATIONS, *SWITCHES, "ttl_by_status", "heuristic"})
FOR_ALL = KEYS - WHERE - {"bypass"}
"""Those that may stand before the first entry."""
# Nothing that is bypassed is stored, so these would do nothing there.
_OF_STORED = (
    *("ttl", "ttl_by_status", "stale_while_revalidate", "stale_if_error", "public", "heuristic", "strip_set_cookie"),
    *("tags", "bypass_cookies", "unkeyed_cookies"),
)
_QUERY_IN_GLOB = re.compile(r"\?.*[=&]")
_QUERY_IN_PATTERN = re.compile(r"\\\?|\[\?\]")
_ALL = re.compile(r"/?\*+")
_ALL_PATTERNS = frozenset({".*", "/.*", ".+"})
_COOKIE = re.compile(r"[\w!#$%&'+.^`|~-]+", re.ASCII)
_LANGUAGE = re.compile(r"[A-Za-z]{1,8}(-[A-Za-z0-9]{1,8})*")


class Refusal(NamedTuple):
    """The key that is wrong, and why, with what to write instead."""

    key: str
    why: str


class Unreachable(NamedTuple):
    """Which entry no request ever gets to, by its number from 0, and why."""

    table: int
    why: str


def refusal(said: Mapping[str, Any]) -> Refusal | None:
    """The first thing that is wrong with an entry that says `said`; None where nothing is. Durations are seconds."""
    for key, value in said.items():
        why = _wrong_type(key, value) or _wrong_value(key, value)
        if why is not None:
            return Refusal(key, why)
    return _wrong_together(said)


def unreachable(entries: Sequence[Mapping[str, Any]]) -> Unreachable | None:
    """The first entry that stands after one for all paths. Those with `bypass` go before all others."""
    whole: str | None = None
    for index, said in enumerate(entries):
        if said.get("bypass"):
            continue
        if whole is not None:
            return Unreachable(index, f"no request comes this far, for {whole} before it takes all; put it above that")
        whole = _takes_all(said)
    return None


def _takes_all(said: Mapping[str, Any]) -> str | None:
    if "query" in said:
        return None
    glob, prefix, pattern = (said.get(key) for key in PLACES)
    if prefix == "/" or pattern in _ALL_PATTERNS or (glob is not None and _ALL.fullmatch(glob)):
        return next(f'{key} = "{said[key]}"' for key in PLACES if key in said)
    return None if said.keys() & set(PLACES) else "an entry without a path"


def _wrong_type(key: str, value: Any) -> str | None:
    if key == "strip_set_cookie" and value is True:
        return 'name the cookies that may go, such as ["_ga*"]: a page without its csrftoken or session breaks forms'
    if key in LISTS:
        whole = isinstance(value, list | tuple) and all(isinstance(each, str) and each for each in value)
        return None if whole else 'must be a list of texts, such as ["utm_*"]'
    if key in SWITCHES:
        return None if isinstance(value, bool) else "must be true or false"
    if key in PLACES:
        return None if isinstance(value, str) else "must be a text"
    if key in DURATIONS:
        return None if _is_seconds(value) else "must be seconds, 0 or more"
    if key == "heuristic":
        return None if value is False or _is_seconds(value) else 'must be false, or a duration such as "60s"'
    if not isinstance(value, Mapping):
        return 'must be a table, such as { 404 = "10s" }'
    whole = all(isinstance(status, int) and _is_seconds(seconds) for status, seconds in value.items())
    return None if whole else "must give each status seconds, 0 or more"


def _is_seconds(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e10


def _wrong_value(key: str, value: Any) -> str | None:
    check = _CHECKS.get(key)
    return None if check is None else check(value)


def _glob(value: str) -> str | None:
    if not value.startswith("/"):
        return 'a path begins with a slash; write "/static/*"'
    if _QUERY_IN_GLOB.search(value):
        path, _, query = value.partition("?")
        return f'it is compared with the path alone; write match = "{path}" and query = {_listed(query.split("&"))}'
    return _not_ascii(value)


def _prefix(value: str) -> str | None:
    if not value.startswith("/"):
        return 'a path begins with a slash; write "/shop/"'
    if "?" in value:
        path, _, query = value.partition("?")
        return f'it is compared with the path alone; write prefix = "{path}" and query = {_listed(query.split("&"))}'
    return _not_ascii(value)


def _pattern(value: str) -> str | None:
    if _QUERY_IN_PATTERN.search(value):
        return 'it is compared with the path alone, which has no "?"; write query = ["name=*"] for the rest'
    wrong = _not_ascii(value)
    if wrong is not None:
        return wrong
    try:
        re.compile(expression_of(None, None, value).encode())
    except (re.error, OverflowError, RecursionError) as error:
        return f"is not a regular expression: {error}"
    return None


def _not_ascii(value: str) -> str | None:
    if value.isascii():
        return None
    # What ASCII there is stays as it is.
    escaped = "".join(each if each.isascii() else quote(each) for each in value)
    return f'requests have their paths percent-encoded; write "{escaped}"'


def _query(value: Sequence[str]) -> str | None:
    for each in value:
        if each.startswith("?") or "&" in each:
            return f"one glob for each parameter; write query = {_listed(each.lstrip('?').split('&'))}"
    return next(filter(None, map(_not_ascii, value)), None)


def _listed(parameters: Sequence[str]) -> str:
    return str([*parameters]).replace("'", '"')


def _tags(value: Sequence[str]) -> str | None:
    for each in value:
        if not is_tag(each.encode("utf-8", "replace")):
            return f"{each!r} is no tag, and could not be purged: tags have no blanks, commas or control characters"
    return None


def _unkeyed_cookies(value: Sequence[str]) -> str | None:
    for each in value:
        if not _COOKIE.fullmatch(each):
            return (
                f'{each!r} is no name of a cookie; write each by its name, ["csrftoken"]: a glob may take a session too'
            )
    return None


def _languages(value: Sequence[str]) -> str | None:
    for each in value:
        if not _LANGUAGE.fullmatch(each):
            return f'{each!r} is no language; write ["de", "en-GB"]'
    return None


_CHECKS: Mapping[str, Callable[[Any], str | None]] = {
    "match": _glob,
    "prefix": _prefix,
    "pattern": _pattern,
    "query": _query,
    "tags": _tags,
    "unkeyed_cookies": _unkeyed_cookies,
    "accept_language": _languages,
}


def _wrong_together(said: Mapping[str, Any]) -> Refusal | None:
    places = [key for key in PLACES if key in said]
    if len(places) > 1:
        return Refusal(places[1], f"there is {places[0]} already; an entry has one of {', '.join(PLACES)}")
    if said.get("bypass"):
        idle = next((key for key in _OF_STORED if key in said), None)
        if idle is not None:
            return Refusal(idle, "nothing is stored where bypass is true; take one of the two out")
    for name in said.get("unkeyed_cookies", ()):
        if any(fnmatchcase(name, glob) for glob in said.get("strip_set_cookie", ())):
            both = f"{name!r} is among strip_set_cookie, and only that an answer sets it says whom it is for"
            return Refusal("unkeyed_cookies", f"{both}; take it out of one of the two")
    for status, seconds in said.get("ttl_by_status", {}).items():
        why = refused_status(status, seconds, public=said.get("public", False))
        if why is not None:
            return Refusal("ttl_by_status", why)
    return None
