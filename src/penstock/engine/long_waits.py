"""A peer that asks to wait for longer than a run waits: the run ends, and says when to come back."""

from __future__ import annotations

from datetime import UTC, datetime

from ..errors import Outage

_LATEST = datetime(9999, 12, 31, tzinfo=UTC).timestamp()


def asked_to_wait(until: float, wall: float, longest: float, *, key: object = None) -> Outage:
    """What ends a run that was told at `wall` to wait until `until` (epoch seconds), and waits `longest` seconds.

    `key`: it was told for the items of this key alone.
    """
    seconds = until - wall
    when = datetime.fromtimestamp(min(until, _LATEST), UTC)
    whom = "the server" if key is None else f"the server, for the items of {key!r:.100},"
    return Outage(
        f"{whom} asked to wait until {when:%Y-%m-%d %H:%M:%S} UTC ({seconds:,.0f} s), which is longer than "
        f"--max-outage ({longest:,.0f} s); no item is lost, and the same command goes on after that, or at once with "
        "--forget-pause",
        seconds=seconds,
        until=until,
    )
