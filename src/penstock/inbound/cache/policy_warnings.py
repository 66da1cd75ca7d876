"""What in a policy can be meant, but seldom is: one line for each, as a refusal would be worded."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .policy import PathPolicy, Policy

# The cookies of sessions, forms and messages in the frameworks that people use most.
_NEEDED = (
    *("sessionid", "csrftoken", "messages", "session", "csrf_token", "XSRF-TOKEN", "PHPSESSID", "JSESSIONID"),
    *("connect.sid", "laravel_session", "_session_id", "ASP.NET_SessionId", "remember_token", "fastapi-csrf-token"),
)
_PERHAPS_A_QUERY = re.compile(r"\?([A-Za-z_]\w*)\*?$")
_WITH_A_TTL = ("stale_while_revalidate", "stale_if_error", "public")


def warnings_of(policy: Policy) -> list[str]:
    """The warnings, with file, line and key where they are known."""
    found = [
        _worded(policy, entry, key, text)
        for entry, whole in ((policy.default, None), *zip(policy.paths, policy.entries, strict=True))
        for key, text in _of_entry(entry, policy if whole is None else whole)
    ]
    if policy.source is not None and not policy.applies:
        found.append(f"{policy.source}: says nothing; write a [[path]] with a match and what holds for it")
    return found


def _worded(policy: Policy, entry: PathPolicy, key: str, text: str) -> str:
    line = entry.lines.get(key)
    if policy.source is None:
        return f"{entry.where}: {key}: {text}"
    return f"{policy.source}: {key}: {text}" if line is None else f"{policy.source}:{line}: {key}: {text}"


def _of_entry(entry: PathPolicy, whole: PathPolicy | Policy) -> Iterator[tuple[str, str]]:
    said = entry.said()
    for key, look in _LOOKS.items():
        text = look(said[key]) if key in said else None
        if text is not None:
            yield key, text
    if not _has_ttl(whole):
        for key in _WITH_A_TTL:
            if said.get(key):
                yield key, "does nothing here without a ttl or ttl_by_status"


def _has_ttl(whole: PathPolicy | Policy) -> bool:
    """What holds for all may be meant for the ttl of any entry."""
    if isinstance(whole, Policy):
        return any(_has_ttl(entry) for entry in (whole.default, *whole.paths))
    return whole.ttl is not None or bool(whole.ttl_by_status)


def _needed(names: tuple[str, ...]) -> str | None:
    """Of the cookies that pages need, one that is among `names`."""
    return next((name for name in _NEEDED if any(fnmatch.fnmatchcase(name, glob) for glob in names)), None)


def _of_stripped(names: tuple[str, ...]) -> str | None:
    name = _needed(names)
    if name is None:
        return None
    return f'takes {name} away too, without which forms and logins break; name those that may go, such as ["_ga*"]'


def _of_ignored(names: tuple[str, ...]) -> str | None:
    name = _needed(names)
    if name is None:
        return None
    return (
        f"keeps {name} from the app, which then takes everybody for a stranger and gives out a new one; "
        f"for pages of users write bypass_cookies"
    )


def _of_glob(value: str) -> str | None:
    found = _PERHAPS_A_QUERY.search(value)
    if found is None:
        return None
    return f'"?" stands for one character here; for a query write query = ["{found[1]}"]'


_LOOKS: Mapping[str, Callable[[Any], str | None]] = {
    "match": _of_glob,
    "ignore_cookies": _of_ignored,
    "strip_set_cookie": _of_stripped,
}
