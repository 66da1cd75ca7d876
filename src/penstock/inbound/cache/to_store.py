"""Advice as it is to be copied: for the app in Django and in FastAPI, for the policy as TOML; ready for JSON."""

from __future__ import annotations

import re
from typing import Any

from .advice import Advice, Unstored, advice
from .policy import PathPolicy, Policy
from .policy_checks import PLACES

_GLOB = re.compile(r"([*?[])")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def to_store(facts: Unstored, target: bytes, entry: PathPolicy, policy: Policy) -> dict[str, Any]:
    """What to do about `facts` for a request of `target`, for which `entry` of `policy` holds.

    `policy` is the text of a new entry, or the lines that belong into the one at `policy_at`.
    """
    found = advice(facts)
    text, where = _policy_text(found, target, entry, policy)
    return {
        "reason": facts.reason,
        "sentence": found.sentence,
        "header": found.header,
        "django": None if found.header is None else in_django(found.header),
        "fastapi": None if found.header is None else in_fastapi(found.header),
        "policy": text,
        "policy_at": where,
        "option": found.option,
    }


def _policy_text(found: Advice, target: bytes, entry: PathPolicy, policy: Policy) -> tuple[str | None, str | None]:
    if not found.policy:
        return None, None
    said = entry.said()
    lines = []
    for key, value in found.policy:
        # A key stands once in an entry: what it has stays.
        merged = value if isinstance(value, str) else tuple(dict.fromkeys((*(said.get(key) or ()), *value)))
        lines.append(f"{key} = {_toml(merged)}")
    if any(place in said for place in PLACES):
        return "\n".join(lines), place_of(entry, policy)
    match = _GLOB.sub(r"[\1]", target.partition(b"?")[0].decode("latin-1"))
    return "\n".join(["[[path]]", f"match = {_toml(match)}", *lines]), None


def place_of(entry: PathPolicy, policy: Policy, key: str | None = None) -> str:
    """Where `entry`, or a `key` of it, stands: `cache.toml:12`; of one that no file holds, what it is for."""
    keys = PLACES if key is None else (key,)
    line = next((entry.lines[name] for name in keys if name in entry.lines), None)
    if policy.source is None:
        return entry.where
    return policy.source if line is None else f"{policy.source}:{line}"


def in_django(header: str) -> str:
    """The line by which a view of Django sends `header`: a decorator where there is one."""
    name, _, value = header.partition(": ")
    if name == "Vary":
        return f"@vary_on_headers({', '.join(_toml(each.strip()) for each in value.split(','))})"
    if name != "Cache-Control":
        return f"response[{_toml(name)}] = {_toml(value)}"
    parts = [each.strip().partition("=") for each in value.split(",")]
    arguments = [f"{key.replace('-', '_')}={seconds or True}" for key, _, seconds in parts]
    return f"@cache_control({', '.join(arguments)})"


def in_fastapi(header: str) -> str:
    """The line by which an endpoint of FastAPI, which has a `response: Response`, sends `header`."""
    name, _, value = header.partition(": ")
    return f"response.headers[{_toml(name)}] = {_toml(value)}"


def _toml(value: str | tuple[str, ...]) -> str:
    """As TOML, and as Python has it too."""
    if not isinstance(value, str):
        return f"[{', '.join(map(_toml, value))}]"
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04X}", escaped) + '"'
