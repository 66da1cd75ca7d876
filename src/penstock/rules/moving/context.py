"""Whether what a request carries is still its own: a name, judged by its values at two points of the request.

Only what nobody can have meant is a finding. Code of the request may set what it likes, so two values that differ say
nothing where it ran in between; it may not find another value where it did not run.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any


class CarryFinding(StrEnum):
    """What became of a name."""

    LOST = "lost"
    CHANGED = "changed"
    SHARED = "shared"


def held(before: Any, now: Any) -> CarryFinding | None:
    """No code of the request ran in between."""
    if same(before, now):
        return None
    return CarryFinding.LOST if now is None else CarryFinding.CHANGED


def kept(before: Any, now: Any) -> CarryFinding | None:
    """Code of the request ran in between."""
    return CarryFinding.LOST if before is not None and now is None else None


def same(one: Any, other: Any) -> bool:
    """Whether two values are one; values that cannot be compared are not."""
    if one is other:
        return True
    try:
        return bool(one == other)
    except Exception:  # noqa: BLE001  # whatever a class of somebody else makes of a comparison
        return False
