"""What do the fields of an answer say about the server's limits? Four families of dialects, one kind of result.

- draft-ietf-httpapi-ratelimit-headers, from 08 on: `RateLimit-Policy: "burst";q=100;w=60` and
  `RateLimit: "burst";r=50;t=30` (structured fields, RFC 9651, read leniently: what is not understood is passed over).
- draft 07: `RateLimit-Policy: 100;w=60`, `RateLimit: limit=100, remaining=50, reset=30`.
- the drafts before it: `RateLimit-Limit: 100, 100;w=60`, `RateLimit-Remaining`, `RateLimit-Reset`.
- X-RateLimit-* and its many cousins, told apart by the words in their names: a field's role (limit, remaining, reset,
  period), a period (`-Minute`), a unit (`-Tokens`), and whatever is left, which groups those that belong together.

Only quotas of requests are given out; tokens, bytes and what else is counted say nothing about the next request. Of
two fields that disagree the tighter counts. Nothing in them can raise, and their number and length are bounded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from .reset_time import Reset, read_reset

MAY_TELL = re.compile(rb"rate-?limit|-call-limit|-limit-per-|-remaining-t(?:his-|oday)|-limit-24hour-", re.IGNORECASE)
"""Found in the names of all fields that are looked at here, and in hardly any other."""

MOST_LIMITS = 16
_MOST_FIELDS = 64
_LONGEST_VALUE = 1000
_MOST_COUNT = 1e12
_LONGEST_WINDOW = 400 * 86400.0

_NAME = re.compile(r"rate-?limit")
_WHOLE = re.compile(r"-?[0-9]{1,15}(?:\.[0-9]{0,9})?")
_MEMBER = re.compile(r'(?:[^,"]|"[^"]*"?)+')
_PARAMETER = re.compile(r'(?:[^;"]|"[^"]*"?)+')

_LIMIT = frozenset({"limit", "max", "maximum", "quota", "total", "userlimit"})
_REMAINING = frozenset({"remaining", "left", "available", "userremaining"})
_RESET = frozenset({"reset", "resets", "resettime", "after", "userreset"})
_PERIOD = frozenset({"period", "interval", "window"})
_REQUESTS = frozenset({"request", "requests", "req", "calls", "x", "ratelimit", "seconds", "time", "at", "in", "per"})
_MILLISECONDS = frozenset({"ms", "milliseconds", "millis"})
_WINDOWS = {
    **dict.fromkeys(("second", "secondly", "sec"), 1.0),
    **dict.fromkeys(("minute", "minutely", "min"), 60.0),
    **dict.fromkeys(("hour", "hourly"), 3600.0),
    **dict.fromkeys(("day", "daily", "today", "24hour"), 86400.0),
}
# fmt: off
_OTHER_UNITS = frozenset({
    "audio", "bandwidth", "bysize", "byte", "bytes", "characters", "completion", "complexity", "concurrency",
    "concurrent", "connections", "cost", "costs", "credit", "credits", "image", "images", "input", "output",
    "point", "points", "prompt", "size", "token", "tokens", "tpm", "unit", "units",
})
# fmt: on


@dataclass(frozen=True, slots=True)
class ToldLimit:
    """What one policy of the server allows: `count` requests in `seconds`; None where it does not say.

    `remaining` of them are left, until in `reset_after` seconds the quota begins anew. `absolute`: that was told as a
    moment, so the age of the answer does not matter. `name` tells the policies of one server apart.
    """

    name: str
    count: int | None = None
    seconds: float | None = None
    remaining: int | None = None
    reset_after: float | None = None
    absolute: bool = False


@dataclass(slots=True)
class _Group:
    """The fields that belong together, as far as they were understood."""

    counts: list[int] = field(default_factory=list)
    policies: list[tuple[int, float]] = field(default_factory=list)
    remaining: int | None = None
    reset: Reset | None = None
    seconds: float | None = None


def read_limits(fields: Iterable[tuple[str, str]], now: float) -> tuple[ToldLimit, ...]:
    """The limits that these (name, value) fields tell; `now` is the wall clock, in epoch seconds."""
    telling: list[tuple[str, str]] = []
    date = None
    for name, value in fields:
        lowered = name.lower()
        if lowered == "date":
            date = value
        elif (
            len(telling) < _MOST_FIELDS
            and len(value) <= _LONGEST_VALUE
            and MAY_TELL.search(lowered.encode("ascii", "replace"))
        ):
            telling.append((lowered, value))
    if not telling:
        return ()
    told = [*_structured(telling), *_worded(telling, now, date)]
    return tuple(dict.fromkeys(told))[:MOST_LIMITS]


# -- structured fields ------------------------------------------------------------------------------------------------


def _structured(fields: list[tuple[str, str]]) -> Iterator[ToldLimit]:
    """RateLimit-Policy and RateLimit, joined by the names of their members."""
    policies: dict[str, tuple[int, float | None]] = {}
    others: set[str] = set()
    for name, parameters in _members(fields, "ratelimit-policy"):
        count, window = _count(parameters.get("q", "")), _window(parameters.get("w", ""))
        if not name and count is None:
            # Draft 07: the quota is the member itself.
            count = _count(parameters.get("", ""))
            name = f"/{window}"
        if parameters.get("qu", "requests").strip('"').lower() != "requests":
            others.add(name)
        elif count and len(policies) < MOST_LIMITS:
            policies[name] = (count, window)
    for name, parameters in _members(fields, "ratelimit"):
        remaining, reset = _remaining(parameters.get("r", "")), _delta(parameters.get("t", ""))
        if name in others or remaining is None:
            continue
        count, window = policies.pop(name, (None, None))
        yield ToldLimit(name, count, window, remaining, reset)
    yield from _draft_07(fields, policies)
    for name, (count, window) in policies.items():
        yield ToldLimit(name, count, window)


def _draft_07(fields: list[tuple[str, str]], policies: dict[str, tuple[int, float | None]]) -> Iterator[ToldLimit]:
    """`RateLimit: limit=100, remaining=50, reset=30`: of the policy with that limit."""
    words: dict[str, str] = {}
    for _, parameters in _members(fields, "ratelimit"):
        words |= {key: value for key, value in parameters.items() if key in {"limit", "remaining", "reset"}}
    count, remaining = _count(words.get("limit", "")), _remaining(words.get("remaining", ""))
    if remaining is None:
        return
    name = next((name for name, (quota, _) in policies.items() if quota == count), "")
    _, window = policies.pop(name, (None, None))
    yield ToldLimit(name, count or None, window, remaining, _delta(words.get("reset", "")))


def _members(fields: list[tuple[str, str]], wanted: str) -> Iterator[tuple[str, dict[str, str]]]:
    """(name, parameters) of each member of a list; where it has no name, what it is stands under the empty key."""
    for name, value in fields:
        if name != wanted:
            continue
        for member in _MEMBER.findall(value)[:MOST_LIMITS]:
            first, *rest = [part.strip() for part in _PARAMETER.findall(member)] or [""]
            parameters = {
                key.strip().lower(): value.strip() for key, _, value in (part.partition("=") for part in rest)
            }
            if "=" in first and not first.startswith('"'):
                key, _, value_ = first.partition("=")
                parameters[key.strip().lower()] = value_.strip()
                first = ""
            if _WHOLE.fullmatch(first):
                parameters[""] = first
                first = ""
            yield first.strip('"'), parameters


# -- fields told apart by the words in their names -------------------------------------------------------------------


def _worded(fields: list[tuple[str, str]], now: float, date: str | None) -> Iterator[ToldLimit]:
    groups: dict[tuple[str, float | None], _Group] = {}
    for name, value in fields:
        if name not in {"ratelimit", "ratelimit-policy"}:
            _read_field(groups, name, value, now, date)
    for (name, window), group in groups.items():
        yield from _limits_of(name, group, window or group.seconds)


def _read_field(
    groups: dict[tuple[str, float | None], _Group], name: str, value: str, now: float, date: str | None
) -> None:
    if name.endswith("-api-call-limit"):
        _read_bucket(groups.setdefault(("call", None), _Group()), value)
        return
    # A bare X-Rate-Limit is the limit itself; a limit in front of the mark is its name.
    words = [word for word in re.split(r"[-_]", _NAME.sub("ratelimit", name)) if word]
    roles = [role for word in words if (role := _role(word))]
    if not roles and words[-1] in {"ratelimit", *_WINDOWS}:
        roles = ["limit"]
    if not roles or not _OTHER_UNITS.isdisjoint(words):
        return
    # "Reset-After", "Interval-Limit": what is told of a role decides.
    role = next((role for role in ("reset", "remaining", "period") if role in roles), "limit")
    window = next((_WINDOWS[word] for word in words if word in _WINDOWS), None)
    known = _REQUESTS | _MILLISECONDS | _WINDOWS.keys()
    rest = "-".join(word for word in words if not _role(word) and word not in known and word != "this")
    group = groups.setdefault((rest, window), _Group())
    _read_role(group, role, value, scale=0.001 if not _MILLISECONDS.isdisjoint(words) else 1.0, now=now, date=date)


def _read_role(group: _Group, role: str, value: str, *, scale: float, now: float, date: str | None) -> None:
    if role == "limit":
        _read_counts(group, value)
    elif role == "remaining":
        left = _remaining(value.partition(";")[0].partition(",")[0])
        if left is not None:
            group.remaining = left if group.remaining is None else min(left, group.remaining)
    elif role == "period":
        group.seconds = _window(value, scale)
    else:
        reset = read_reset(value.partition(";")[0], now, date)
        if reset is not None and not reset.absolute and scale != 1.0:
            reset = Reset(reset.seconds * scale, absolute=False)
        if reset is not None and (group.reset is None or reset.seconds > group.reset.seconds):
            group.reset = reset


def _role(word: str) -> str:
    if word in _LIMIT:
        return "limit"
    if word in _REMAINING:
        return "remaining"
    if word in _RESET:
        return "reset"
    return "period" if word in _PERIOD else ""


def _read_counts(group: _Group, value: str) -> None:
    """`100`, or `100, 100;w=60, 5000;w=3600`."""
    for member in value.split(",")[:MOST_LIMITS]:
        first, *parameters = member.split(";")
        count = _count(first)
        if not count:
            continue
        windows = [_window(text.partition("=")[2]) for text in parameters if text.strip().lower().startswith("w=")]
        if windows and windows[0] is not None:
            group.policies.append((count, windows[0]))
        else:
            group.counts.append(count)


def _read_bucket(group: _Group, value: str) -> None:
    """`39/40`: so much is used of so much."""
    used, _, size = value.partition("/")
    taken, count = _remaining(used), _count(size)
    if taken is not None and count:
        group.counts.append(count)
        group.remaining = max(0, count - taken)


def _limits_of(name: str, group: _Group, window: float | None) -> Iterator[ToldLimit]:
    count = min(group.counts, default=None)
    if count is None and len(group.policies) == 1:
        count = group.policies[0][0]
    reset = (group.reset.seconds, group.reset.absolute) if group.reset else (None, False)
    for quota, seconds in group.policies:
        if quota == count and window is None:
            window = seconds
        elif (quota, seconds) != (count, window):
            yield ToldLimit(f"{name}/{seconds:g}", quota, seconds)
    if group.remaining is not None or (count is not None and window is not None):
        label = name if window is None else f"{name}/{window:g}"
        yield ToldLimit(label, count, window, group.remaining, *reset)


# -- numbers ----------------------------------------------------------------------------------------------------------


def _remaining(text: str) -> int | None:
    """A number of requests; below 0 is as good as 0."""
    text = text.strip()
    return max(0, int(float(text))) if _WHOLE.fullmatch(text) else None


def _count(text: str) -> int | None:
    count = _remaining(text)
    return count if count is not None and count < _MOST_COUNT else None


def _window(text: str, scale: float = 1.0) -> float | None:
    text = text.strip()
    if not _WHOLE.fullmatch(text):
        return None
    seconds = float(text) * scale
    return seconds if 0 < seconds <= _LONGEST_WINDOW else None


def _delta(text: str) -> float | None:
    """Seconds from now, and in structured fields never anything else."""
    text = text.strip()
    return float(text) if _WHOLE.fullmatch(text) and not text.startswith("-") else None
