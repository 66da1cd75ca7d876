"""What the fields of a scoreboard record mean: the layout and the stable numbers written to it."""

from __future__ import annotations

import struct

CELL = struct.Struct("<fIIBBH")
"""similarity, latency in us, id of the hit (or kind of failure), finding, attempts, HTTP status: 16 bytes."""

NUMPY_CELL = [
    ("similarity", "<f4"),
    ("latency_us", "<u4"),
    ("hit_id", "<u4"),
    ("finding", "u1"),
    ("attempts", "u1"),
    ("status", "<u2"),
]
"""The same for numpy."""

NO_ID = 0xFFFFFFFF
"""In place of the id of the hit: there was none, or none that fits."""

KIND_CODES: dict[str, int] = {
    "bad_record": 1,
    "dns": 2,
    "connect": 3,
    "connect_timeout": 4,
    "tls": 5,
    "timeout": 6,
    "deadline": 7,
    "reset": 8,
    "protocol": 9,
    "too_large": 10,
    "bad_body": 11,
    "throttled": 12,
    "http_3xx": 13,
    "http_4xx": 14,
    "http_5xx": 15,
    "unexpected": 16,
    "exception": 17,
    "accepted": 18,
}
"""Kinds of failure (rules.outcome.KINDS) by the number that a FAILED record has in the field of the id.

Written to files: never change or reuse a number; a new kind gets a new one.
"""

KIND_NAMES: dict[int, str] = {code: kind for kind, code in KIND_CODES.items()}
