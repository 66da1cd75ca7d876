"""Where secrets stand in headers, URLs and bodies: whoever hides, collects or compares them walks the same way.

Each function returns the text with every value that is likely to be a secret replaced by what `change(name, value)`
makes of it; all else stays as it was.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from ...fields import HARMLESS_FIELDS
from .names import HIDDEN, is_secret_name, looks_random

Change = Callable[[str, str], str]
"""(name of the place, value) -> what to write there."""

_SCHEMES = ("bearer", "basic", "token", "apikey", "api-key", "key", "digest", "negotiate")
_HOST = re.compile(r"(\[[^\]]*\]|[^:@]*)(:\d*)?")
_MEMBER = re.compile(r'"(?P<name>[^"]+)"\s*:\s*"(?P<value>[^"]*)')
_PAIR = re.compile(r"(?P<name>[^\s&;=?#]+)=(?P<value>[^&;#\s]*)")


def in_header(name: str, value: str, change: Change) -> str:
    """Of a header field: all of the value but for its scheme, unless the field is a harmless one such as Accept."""
    if name.strip().lower() in HARMLESS_FIELDS:
        return value
    bare = value.strip()
    spaces = value[: len(value) - len(value.lstrip())]
    scheme, space, rest = bare.partition(" ")
    if space and scheme.lower() in _SCHEMES:
        return f"{spaces}{scheme} {change(name, rest)}"
    return f"{spaces}{change(name, bare)}"


def in_url(url: str, change: Change, *, by_looks: bool = True) -> str:
    """Of a URL: user and password, parameters with the name of a secret and, `by_looks`, what looks drawn by chance."""
    # Not with urlsplit: it raises for what a user can mistype, and a mistyped URL holds the same secrets.
    scheme, mark, rest = url.partition("://")
    if not mark:
        scheme, rest = "", url
    begin = re.search(r"[/?#]", rest)
    cut = begin.start() if begin else len(rest)
    if "@" not in rest[:cut] and not _HOST.fullmatch(rest[:cut]):
        # "user:pa/ss@host": what looks like a host is the beginning of a password that should have been quoted.
        cut = max(cut, rest.rfind("@") + 1)
    user, at, host = rest[:cut].rpartition("@")
    path = re.split(r"(?=[?#])", rest[cut:], maxsplit=1)
    # Some APIs take their token in the path, where no name tells; chance is what such a part looks like.
    parts = [change("path", part) if by_looks and looks_random(part) else part for part in path[0].split("/")]
    shown_user = change("user", user) if at else ""
    query = in_pairs("".join(path[1:]), change, by_looks=by_looks)
    return f"{scheme}{mark}{shown_user}{at}{host}{'/'.join(parts)}{query}"


def in_pairs(text: str, change: Change, *, by_looks: bool = True) -> str:
    """Of `a=1&token=2`, also behind the `?` or `#` of a URL."""

    def each(match: re.Match[str]) -> str:
        secret = is_secret_name(match["name"]) or (by_looks and looks_random(match["value"]))
        return f"{match['name']}={change(match['name'], match['value'])}" if secret else match[0]

    return _PAIR.sub(each, text)


def in_body(body: str, change: Change, *, by_looks: bool = True) -> str:
    """Of a body: members of its JSON with the name of a secret, and all below them; of a form, its parameters."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return _MEMBER.sub(lambda match: _member(match, change), in_pairs(body, change, by_looks=by_looks))
    changed = _leaves(value, "", change)
    # What holds no secret stays as it was typed, spaces and all.
    return body if changed == value else json.dumps(changed, separators=(",", ":"), ensure_ascii=False)


def _member(match: re.Match[str], change: Change) -> str:
    if not is_secret_name(match["name"]):
        return match[0]
    return match[0][: match.start("value") - match.start()] + change(match["name"], match["value"])


def _leaves(value: Any, secret: str, change: Change) -> Any:
    """`value` with all changed below members that are secret by name; `secret` is that name, "" above all of them."""
    if isinstance(value, dict):
        return {
            name: _leaves(each, secret or (name if is_secret_name(name) else ""), change)
            for name, each in value.items()
        }
    if isinstance(value, list):
        return [_leaves(each, secret, change) for each in value]
    if not secret:
        return value
    return change(secret, value) if isinstance(value, str) else HIDDEN
