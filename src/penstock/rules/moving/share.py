"""Whose requests get an arm: the same for the same key, on every worker and at every time."""

from __future__ import annotations

import re
from hashlib import blake2b

from ...errors import UsageError

_PERCENTAGE = re.compile(r"([0-9]+(?:\.[0-9]+)?)%")


def parse_share(text: str) -> float:
    """`10%` as 0.1; from 0 to 100. Raises UsageError, also for a number without its sign."""
    match = _PERCENTAGE.fullmatch(text.strip())
    percent = float(match[1]) if match else -1.0
    if not 0 <= percent <= 100:
        raise UsageError(f"{text!r} is not a share; write a percentage from 0% to 100%")
    return percent / 100


def share_text(share: float) -> str:
    """0.1 as `10%`: what `parse_share` reads."""
    return f"{share * 100:g}%"


def in_share(route: str, key: str, share: float) -> bool:
    """Whether the requests of `route` with `key` belong to the `share` (0 to 1) that is moving.

    Who is in a share is in every larger one, and being in that of one route says nothing about another.
    """
    if share <= 0:
        return False
    if share >= 1:
        return True
    digest = blake2b(f"{route}\0{key}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") < share * 2**64
