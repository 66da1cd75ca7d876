"""What to do with a range of a body that is on its way and begins behind what has come of it."""

from __future__ import annotations

import enum

NEAR = 256 * 1024
"""Bytes that a range may begin behind what has come, and is waited for without another look."""
LOOK_SECONDS = 0.05
"""After so long the pace at which a body comes is known well enough."""
PATIENCE_SECONDS = 5.0
"""What a client may be sent nothing for, by the pace of the body, before its range is asked for by itself."""


class Reach(enum.Enum):
    """What to do with a part of a body that is on its way.

    NOW: begin with it. LATER: look again when the pace of the body is known. APART: ask for the range by itself.
    WHOLE: send the whole instead.
    """

    NOW = "now"
    LATER = "later"
    APART = "apart"
    WHOLE = "whole"


def reach(first: int, arrived: int, seconds: float, *, kept: bool, ranges: bytes | None) -> Reach:
    """What to do with a part that begins at byte `first`, where `arrived` bytes have come in `seconds`.

    `kept`: the body comes to its end in any case; otherwise it would come for this client alone. `ranges`: the
    Accept-Ranges of the answer. An app that has none (RFC 9110, 14.3) would send the same once more.
    """
    ahead = first - arrived
    if ahead <= NEAR:
        return Reach.NOW
    if ranges is not None and ranges.strip().lower() == b"none":
        return Reach.WHOLE
    if not kept:
        return Reach.APART
    if seconds < LOOK_SECONDS:
        return Reach.LATER
    return Reach.NOW if ahead * seconds <= arrived * PATIENCE_SECONDS else Reach.APART
