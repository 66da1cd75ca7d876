"""How far the clock of an app is off, as far as one answer shows it, and whether Date says how old an answer is.

Directly in front of an app an old Date is a clock that is behind. Behind a cache that does not say Age it may be the
age of the answer.
"""

from __future__ import annotations

import math

from .caching.http_date import parse_http_date
from .caching.http_fields import BLANKS, FieldMap

TOLERANCE = 5.0
"""Seconds: Date counts whole ones, and an answer takes its time."""


KEPT_SECONDS = 600.0
"""An answer whose Date is so much older than the clock of its app was kept by the app."""


def kept_for(apparent: float, via: bytes | None, clock_behind: float | None) -> float:
    """Seconds of age that Date tells of: `apparent` is how much older it is than the receipt, in whole seconds.

    Where a hop may keep answers without saying their Age, all of it. Else an old Date is the clock of the app, unless
    that is known (`clock_behind`) and is far from it.
    """
    if has_old_hop(via):
        return apparent
    if clock_behind is None or apparent - clock_behind <= KEPT_SECONDS:
        return 0.0
    return apparent - clock_behind


def has_old_hop(via: bytes | None) -> bool:
    """Whether the answer came through a hop that may keep it without saying its Age: HTTP/1.0, or unreadable.

    RFC 9111, 4.2.3, names this as the reason to go by Date as well. Caches of HTTP/1.1 say Age (5.1).
    """
    return via is not None and any(not _is_new(member.strip(BLANKS)) for member in via.split(b","))


def _is_new(member: bytes) -> bool:
    """Whether a member of Via is a hop of HTTP/1.1 or later. A comma within a comment makes it unreadable."""
    protocol, _, by = member.partition(b" ")
    name, slash, version = protocol.rpartition(b"/")
    major, _, minor = version.partition(b".")
    known = not slash or name.lower() == b"http"
    if not by or not known or not major.isdigit() or not (minor.isdigit() or not minor):
        return False
    return (int(major[:4]), int(minor[:4] or b"0")) >= (1, 1)


def clock_offset(fields: FieldMap, delay: float, received_wall: float) -> float | None:
    """Seconds by which the clock of the app is behind ours (negative: ahead); 0 within what cannot be told from that.

    `delay`: from the request to the head of the answer, within which Date may have been made. None where the answer
    has no Date that can be read, or came through others, who may have kept it or set the Date.
    """
    if b"via" in fields or b"age" in fields or not math.isfinite(received_wall):
        return None
    date = parse_http_date(fields.get(b"date", b""), now=received_wall)
    if date is None:
        return None
    behind = math.floor(received_wall) - date
    return 0.0 if -TOLERANCE <= behind <= TOLERANCE + max(delay, 0.0) else float(behind)
