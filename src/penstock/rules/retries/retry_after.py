"""Read Retry-After (RFC 9110, 10.2.3): seconds or a date, and whatever else servers send.

`engine/http_judge` and `outbound/interpreter` ask here, `engine/endings` pauses everything under the limit (or one
key), `rules/retries/retry` lets the item wait as long, and `runs/session` brings a pause over a restart. Nothing in the
value can raise. What cannot be read is None, and the caller falls back to its own backoff; what can be read is never
shortened, but for a bound of 30 years that keeps it a number a timer can take.
"""

from __future__ import annotations

import re
from datetime import UTC
from email.utils import parsedate_to_datetime

LONGEST_SECONDS = 1e9

_SECONDS = re.compile(r"[0-9]+(?:\.[0-9]+)?")


def parse_retry_after(value: str | None, now: float, date: str | None = None) -> float | None:
    """Seconds to wait from `now` (epoch seconds), or None if there is no readable value.

    `date` is the answer's own Date field: where the server's clock is behind ours, a date in Retry-After is taken
    relative to it, and of both distances the longer counts.
    """
    if value is None:
        return None
    text = value.strip()
    if _SECONDS.fullmatch(text):
        # Some servers send fractions although the grammar has none; a huge number of digits must not raise.
        return LONGEST_SECONDS if len(text) > 12 and "." not in text[:12] else min(float(text), LONGEST_SECONDS)
    until = _epoch(text)
    if until is None:
        return None
    server_now = _epoch(date) if date else None
    wait = max(until - now, until - server_now if server_now is not None else 0.0)
    return min(max(wait, 0.0), LONGEST_SECONDS)


def _epoch(text: str | None) -> float | None:
    try:
        parsed = parsedate_to_datetime(text or "")
        if parsed.tzinfo is None:
            parsed = parsed.replace(tzinfo=UTC)
        return parsed.timestamp()
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
