"""The Content-Range field (RFC 9110, 14.4) of APIs that count rows in it: `items 0-49/250`."""

from __future__ import annotations

import re

_RANGE = re.compile(r"\s*(?:[\w-]+\s+)?(?:\d+\s*-\s*\d+|\*)\s*/\s*(\d+|\*)\s*")


def complete_length(value: str) -> int | None:
    """The complete length, None where it is `*`, which means unknown. Raises ValueError for what is no such field."""
    match = _RANGE.fullmatch(value)
    if match is None:
        raise ValueError(f"{value[:60]!r} is no Content-Range")
    return None if match[1] == "*" else int(match[1])
