"""What an operator can choose about the rules of the cache."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

_TARGETED = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+")
_NOT_TARGETED = frozenset({b"cache-control", b"expires", b"pragma", b"surrogate-control"})
"""They have a syntax and a meaning of their own (RFC 9111, 5; Edge Architecture Specification)."""


@dataclass(frozen=True, slots=True)
class CacheOptions:
    """Choices that change decisions; all durations in seconds.

    `profile`: "safe" refuses what leaks between users in the field though the RFC allows it (Set-Cookie, answers to
    requests with cookies, qualified `private` and `no-cache` read as such, codings that Vary does not name); "rfc" does
    all that RFC 9111 allows.
    `lenient_origin`: believe the length of a partial body where its Content-Range contradicts it.
    `targeted`: names of targeted fields that address this cache, in lower case, the most specific first (RFC 9213,
    2.2); `()` where the cache in front of this one is the one that they name.
    `heuristic_share`, `heuristic_max`: the share of its age since Last-Modified for which an answer without a lifetime
    is fresh, and the cap of that (RFC 9111, 4.2.2); a share of 0 turns heuristics off.
    `stale_when_unreachable`: how long past its lifetime an answer without stale-if-error may serve while the origin
    cannot be reached at all (RFC 9111, 4.2.4); 0 for never.
    `max_tags`, `max_tag_bytes`: what one answer may carry; more means that it is not stored.
    Raises ValueError for a profile that does not exist, for numbers that are negative or not finite, and for a name in
    `targeted` that no field can have, or that no targeted field has.
    """

    profile: Literal["safe", "rfc"] = "safe"
    lenient_origin: bool = False
    targeted: tuple[bytes, ...] = (b"cdn-cache-control",)
    heuristic_max: float = 86400.0
    heuristic_share: float = 0.1
    stale_when_unreachable: float = 86400.0
    max_tags: int = 128
    max_tag_bytes: int = 16384

    def __post_init__(self) -> None:
        if self.profile not in ("safe", "rfc"):
            raise ValueError(f"profile is {self.profile!r}; it may be 'safe' or 'rfc'")
        for name in ("heuristic_max", "heuristic_share", "stale_when_unreachable", "max_tags", "max_tag_bytes"):
            number = getattr(self, name)
            if not 0 <= number < math.inf:
                raise ValueError(f"{name} is {number}; it must be 0 or more, and finite")
        for field in self.targeted:
            if not isinstance(field, bytes) or not _TARGETED.fullmatch(field) or field in _NOT_TARGETED:
                raise ValueError(f"targeted has {field!r}; a name is bytes in lower case, such as b'cdn-cache-control'")


@lru_cache(64)
def with_heuristic(options: CacheOptions, longest: float) -> CacheOptions:
    """The same options with a lifetime estimated from Last-Modified of at most `longest` seconds; 0: without any."""
    if not longest:
        return replace(options, heuristic_share=0.0)
    return replace(options, heuristic_max=min(longest, options.heuristic_max))
