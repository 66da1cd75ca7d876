"""Take the secrets out of a command line, so that it can be kept and shown. All else stays as it was typed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote_plus

import orjson

HIDDEN = "***"
"""What stands for a secret."""

_HARMLESS_HEADERS = ("accept", "content-type", "content-language", "user-agent", "cache-control", "prefer", "range")
_SECRET_WORDS = {
    *("auth", "authorization", "bearer", "cookie", "credentials", "jwt", "key", "pass", "pwd"),
    *("secret", "session", "sid", "sig", "signature", "token"),
}
_SECRET_PARTS = ("apikey", "token", "secret", "passw", "signature", "credential")
_SCHEMES = ("bearer", "basic", "token", "apikey", "api-key", "key", "digest", "negotiate")
_VALUED = ("--header", "--proxy", "--body", "--url", "--start")
_ENVIRONMENT = re.compile(r"\$\{\w+\}")
_REFERENCE = re.compile(r"\$\{\w+\}|\{\w[\w .-]*\}")
_HOST = re.compile(r"(\[[^\]]*\]|[^:@]*)(:\d*)?")
_MEMBER = re.compile(r'"(?P<name>[^"]+)"\s*:\s*"(?P<value>[^"]*)')
_RANDOM = re.compile(r"(?=.*[a-z])(?=.*[A-Z])(?=.*\d)[\w:.~+-]{20,}|[0-9a-fA-F]{32,}")
_PAIR = re.compile(r"(?P<name>[^\s&;=?#]+)=(?P<value>[^&;#\s]*)")


def redact(arguments: Sequence[str]) -> list[str]:
    """`arguments` without values of headers, passwords in URLs, and what is named like a secret in URLs and bodies.

    What looks like drawn by chance in a URL (20 letters of both cases and digits, 32 hexadecimal digits) goes too.

    `${ENV}` and `{field}` are references and no secrets; they stay, and so do harmless headers such as Accept.
    """
    kept: list[str] = []
    option = ""
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if option:
            kept.append(_value(option, argument))
            option = ""
        elif argument.startswith("--") and equals:
            kept.append(f"{name}={_value(name, value)}")
        elif argument in _VALUED:
            kept.append(argument)
            option = argument
        else:
            kept.append(_value("", argument))
    return kept


def is_secret_name(name: str) -> bool:
    """Whether a parameter of this name is likely to hold a secret: `api_key`, `accessToken`, `X-Amz-Signature`."""
    plain = unquote_plus(name)
    words = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", plain).lower()
    together = re.sub(r"[^a-z0-9]", "", words)
    return any(part in together for part in _SECRET_PARTS) or not _SECRET_WORDS.isdisjoint(re.findall(r"[a-z]+", words))


def _value(option: str, value: str) -> str:
    if option == "--header":
        return _header(value)
    if option == "--body":
        return _body(value)
    if option == "--start" and not value.isdecimal() and "/" not in value:
        # A token of a page may let anybody in who has it.
        return _hidden(value)
    return _url(value) if option or "://" in value else _pairs(value)


def _header(header: str) -> str:
    name, colon, value = header.partition(":")
    if colon and name.strip().lower() in _HARMLESS_HEADERS:
        return header
    if not colon:
        # It is no header, and will be refused; what it holds may be a secret all the same.
        return _hidden(header, _ENVIRONMENT)
    spaces = value[: len(value) - len(value.lstrip())]
    scheme, space, rest = value.strip().partition(" ")
    if space and scheme.lower() in _SCHEMES:
        return f"{name}:{spaces}{scheme} {_hidden(rest, _ENVIRONMENT)}"
    return f"{name}:{spaces}{_hidden(value.strip(), _ENVIRONMENT)}"


def _hidden(value: str, references: re.Pattern[str] = _REFERENCE) -> str:
    """`value` if there is nothing in it but references, else what stands for a secret."""
    return value if re.fullmatch(r"[\s:,;._-]*", references.sub("", value)) else HIDDEN


def _url(url: str) -> str:
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
    parts = [HIDDEN if _RANDOM.fullmatch(part) else part for part in path[0].split("/")]
    return f"{scheme}{mark}{_hidden(user) if at else ''}{at}{host}{'/'.join(parts)}{_pairs(''.join(path[1:]))}"


def _pairs(text: str) -> str:
    """Hide the values in `a=1&token=2`, also behind the `?` or `#` of a URL."""

    def hide(match: re.Match[str]) -> str:
        secret = is_secret_name(match["name"]) or _RANDOM.fullmatch(match["value"])
        return f"{match['name']}={_hidden(match['value'])}" if secret else match[0]

    return _PAIR.sub(hide, text)


def _body(body: str) -> str:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return _MEMBER.sub(_hide_member, _pairs(body))
    hidden = _hide_leaves(value, secret=False)
    # What holds no secret stays as it was typed, spaces and all.
    return body if hidden == value else orjson.dumps(hidden).decode()


def _hide_member(match: re.Match[str]) -> str:
    if not is_secret_name(match["name"]):
        return match[0]
    return match[0][: match.start("value") - match.start()] + _hidden(match["value"])


def _hide_leaves(value: Any, *, secret: bool) -> Any:
    if isinstance(value, dict):
        return {name: _hide_leaves(each, secret=secret or is_secret_name(name)) for name, each in value.items()}
    if isinstance(value, list):
        return [_hide_leaves(each, secret=secret) for each in value]
    if not secret:
        return value
    return _hidden(value) if isinstance(value, str) else HIDDEN
