"""The state of all routes: which arm has which share, since when, and when it is taken back.

It is one small JSON document, so that a person can read it and any tool can write it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from ...errors import UsageError

VERSION = 1
CONTROL = "control"
"""The arm that is there today. It has what no other arm is given."""
BROKEN = "broken"
"""No arm: forced, it makes every route raise, so that tests can be told apart which would notice."""
_LAST = 253402300800.0
"""The end of the year 9999, in seconds since the epoch."""
MOST_BYTES = 1024 * 1024
"""A longer document is none of ours."""


@dataclass(frozen=True, slots=True)
class BackLimits:
    """What takes an arm back. Each is judged against the control of the same time, None: not judged."""

    errors: float | None = 0.001
    """So much larger a share of requests may fail, 0 to 1."""
    p99_factor: float | None = 1.5
    """So many times the p99 of the control."""
    p99_seconds: float | None = None
    """So many seconds, whatever the control needs."""
    blocked: float | None = 0.2
    """So large a share of a worker's time, 0 to 1, the arm may hold its event loop in steps that are noticed."""
    shed: float | None = 0.01
    """So large a share of requests, 0 to 1, may be refused for the ceiling."""


@dataclass(frozen=True, slots=True)
class RouteState:
    """`share` (0 to 1) of the requests of a route go to `arm`, the rest to the control."""

    arm: str
    share: float
    since: float
    """Seconds since the epoch."""
    by: str = "roll"
    stage: int = 0
    limits: BackLimits = field(default_factory=BackLimits)
    back: str | None = None
    """Why it was taken back, in words; the share is 0 then."""


@dataclass(frozen=True, slots=True)
class ArmsState:
    """All routes that are moving. `revision` grows with each writing."""

    routes: Mapping[str, RouteState] = field(default_factory=dict)
    revision: int = 0


def read_state(data: bytes) -> ArmsState:
    """The document as it was written. Raises UsageError, which says what is wrong, for all else."""
    if len(data) > MOST_BYTES:
        raise UsageError(f"it has {len(data)} bytes, more than {MOST_BYTES}")
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise UsageError("it is empty" if not data.strip() else f"it is no whole JSON document ({error})") from None
    if not isinstance(document, dict) or not isinstance(document.get("routes"), dict):
        raise UsageError("it is not a state of arms: an object with `version` and `routes` is expected")
    version = document.get("version")
    if not _is_count(version) or version != VERSION:
        raise UsageError(f"it has version {version!r}, and this penstock reads version {VERSION}")
    routes = {checked_name(name): _route(name, each) for name, each in document["routes"].items()}
    revision = document.get("revision", 0)
    return ArmsState(routes, revision if _is_count(revision) else 0)


def checked_name(name: str) -> str:
    """The name of a route or an arm, as it is. Raises UsageError where it cannot be printed, or written as UTF-8."""
    if not name.isprintable():
        raise UsageError(f"the name {name!a} holds a character that cannot be printed")
    return name


def write_state(state: ArmsState) -> bytes:
    """The document, for people too."""
    routes = {name: _as_json(each) for name, each in sorted(state.routes.items())}
    document = {"version": VERSION, "revision": state.revision, "routes": routes}
    return (json.dumps(document, indent=2) + "\n").encode()


def _as_json(route: RouteState) -> dict[str, Any]:
    limits = {name: getattr(route.limits, name) for name in BackLimits.__slots__}
    return {
        "arm": route.arm,
        "share": route.share,
        "stage": route.stage,
        "since": round(route.since, 3),
        "by": route.by,
        "limits": limits,
        "back": route.back,
    }


def _route(name: str, given: object) -> RouteState:
    if not isinstance(given, dict):
        raise UsageError(f"route {name!r} is not an object")
    arm, share = given.get("arm"), given.get("share")
    if not isinstance(arm, str) or not arm:
        raise UsageError(f"route {name!r} names no arm")
    checked_name(arm)
    if not _is_number(share) or not 0 <= share <= 1:
        raise UsageError(f"route {name!r} has the share {share!r}; it is from 0 to 1")
    since, stage, back = given.get("since", 0.0), given.get("stage", 0), given.get("back")
    return RouteState(
        arm=arm,
        share=float(share),
        since=float(since) if _is_number(since) and 0 <= since < _LAST else 0.0,
        by=_printable(given.get("by", "hand")),
        stage=stage if _is_count(stage) else 0,
        limits=_limits(name, given.get("limits", {})),
        back=None if back is None else _printable(back),
    )


def _limits(name: str, given: object) -> BackLimits:
    if not isinstance(given, dict):
        raise UsageError(f"route {name!r} has limits that are no object")
    known = {key: value for key, value in given.items() if key in BackLimits.__slots__}
    if not all(value is None or (_is_number(value) and value >= 0) for value in known.values()):
        raise UsageError(f"route {name!r} has a limit that is no number from 0 on")
    return BackLimits(**known)


def _is_number(value: Any) -> TypeGuard[float]:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        # JSON has whole numbers of any length.
        return False


def _is_count(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _printable(value: object) -> str:
    """In one line. Who reads it on a terminal is not to be told where its cursor goes."""
    return "".join(each if each.isprintable() else " " for each in str(value))
