"""Routes, states and requests as the tests of arms need them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from penstock.migrate.table import tally_of
from penstock.migrate.tally import ArmTally
from penstock.rules.moving.state import ArmsState, RouteState, write_state

ROUTE = "GET /quote/{id}"


@dataclass
class FakeRequest:
    """What all frameworks' requests have in common."""

    headers: Mapping[str, str] = field(default_factory=dict)


def state(share: float, arm: str = "async", route: str = ROUTE) -> ArmsState:
    return ArmsState({route: RouteState(arm, share, since=1.0)})


def write(path: Path, share: float, arm: str = "async") -> None:
    """As every writer is asked to: whole, by a rename."""
    new = path.with_suffix(".new")
    new.write_bytes(write_state(state(share, arm)))
    new.replace(path)


def tally(arm: str, route: str = ROUTE) -> ArmTally:
    return tally_of(route, arm)


def counts(arm: str) -> dict[str, Any]:
    """What of the counts is not 0."""
    found = tally(arm)
    names = ("in_flight", "ended", "errors", "shed", "keyless")
    return {name: value for name in names if (value := getattr(found, name))}
