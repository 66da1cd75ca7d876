"""How much memory an outcome holds on to while it waits: the one place that knows."""

from __future__ import annotations

import sys
from typing import Any, Protocol, runtime_checkable

from .outcome import Outcome


@runtime_checkable
class Holds(Protocol):
    """A value that says how much it holds: `Response` and what is made of one do, and a class of a user's may."""

    held_bytes: int
    """About how many bytes, most of them those of a body."""


def held_bytes(outcome: Outcome[Any, Any]) -> int:
    """About how many bytes of memory `outcome` holds, found without looking into its value.

    An answer that was parsed counts with the length of its body. What says nothing of itself counts with what Python
    says of it: that is all of bytes, text and arrays, and nothing of what a list or a dict refers to.
    """
    value = outcome.value if outcome.error is None else outcome.error
    if hasattr(type(value), "held_bytes"):
        told: int = value.held_bytes  # type: ignore[union-attr]
        return told
    return sys.getsizeof(value, 0)
