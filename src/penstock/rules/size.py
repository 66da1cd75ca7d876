"""Sizes as people write them: `64MiB`, `10kB`."""

from __future__ import annotations

import re

from ..errors import UsageError

_BYTES = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
}
_LEAST_MEMORY = 2**20
_NUMBER = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,15})?)\s*([A-Za-z]*)")


def parse_size(size: str | int, *, least: int = 1) -> int:
    """Bytes, at least `least`; a number is bytes already. Raises UsageError."""
    if isinstance(size, int) and not isinstance(size, bool):
        found = size
    else:
        match = _NUMBER.fullmatch(str(size).strip())
        unit = _BYTES.get(match[2].lower()) if match else None
        found = int(float(match[1]) * unit) if match and unit else -1
    if found < least:
        raise UsageError(f"{size!r} is not a size; write 64MiB, 10kB or a number of bytes")
    return found


def parse_memory(size: str | int) -> int:
    """Bytes that a cache may take: 1 MiB at least. Raises UsageError."""
    found = parse_size(size, least=0)
    if found >= _LEAST_MEMORY:
        return found
    text = str(size).strip()
    hint = f": did you mean {text}MiB?" if text.isdigit() and found else ""
    raise UsageError(f"{size!r} is {found:,} bytes, and a cache needs 1MiB at least{hint}")
