"""Sizes as people write them: `64MiB`, `10kB`."""

from __future__ import annotations

import re

from ..errors import UsageError

_BYTES = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30}
_NUMBER = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)")


def parse_size(text: str) -> int:
    """Bytes; a bare number is bytes. Raises UsageError."""
    match = _NUMBER.fullmatch(text.strip())
    unit = _BYTES.get(match[2].lower()) if match else None
    if match is None or unit is None:
        raise UsageError(f"{text!r} is not a size; write 64MiB, 10kB or a number of bytes")
    return int(float(match[1]) * unit)
