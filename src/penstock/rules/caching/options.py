"""What an operator can choose about the rules of the cache."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal


@dataclass(frozen=True, slots=True)
class CacheOptions:
    """Choices that change decisions; all durations in seconds.

    `profile`: "safe" refuses what leaks between users in the field though the RFC allows it (Set-Cookie, answers to
    requests with cookies, qualified `private` and `no-cache` read as such); "rfc" does all that RFC 9111 allows.
    `lenient_origin`: believe the length of a partial body where its Content-Range contradicts it.
    `targeted`: names of targeted fields that address this cache, the most specific first (RFC 9213, 2.2).
    `heuristic_share`, `heuristic_max`: the share of its age since Last-Modified for which an answer without a lifetime
    is fresh, and the cap of that (RFC 9111, 4.2.2); a share of 0 turns heuristics off.
    `stale_when_unreachable`: how long past its lifetime an answer without stale-if-error may serve while the origin
    cannot be reached at all (RFC 9111, 4.2.4); 0 for never.
    `max_tags`, `max_tag_bytes`: what one answer may carry; more means that it is not stored.
    Raises ValueError for a profile that does not exist and for numbers that are negative or not finite.
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


@lru_cache(64)
def with_heuristic(options: CacheOptions, longest: float) -> CacheOptions:
    """The same options with a lifetime estimated from Last-Modified of at most `longest` seconds; 0: without any."""
    if not longest:
        return replace(options, heuristic_share=0.0)
    return replace(options, heuristic_max=min(longest, options.heuristic_max))
