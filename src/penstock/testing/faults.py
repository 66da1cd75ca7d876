"""Which request gets which fault: a plan that depends on what is asked, never on when or in which order.

The fault of an attempt is a pure function of the seed, the item's identity (a hash of target and body) and
the number of the attempt, so a test computes the table of faults that a run must have met without asking the
server.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

KINDS: Mapping[str, str] = {
    "hang": "no answer until the client goes away",
    "reset": "the connection is reset instead of an answer",
    "close": "the connection is closed in order, instead of an answer",
    "slow_body": "the body drips in over `slow_body_seconds`; it is complete in the end",
    "truncated": "the connection is closed before the body is complete",
    "garbage_json": "200, and a body that is cut off in the middle of the JSON",
    "html": "200, and a page for people instead of JSON",
    "503_retry_after": "503 with Retry-After",
}
"""The faults besides plain statuses (`429`, which carries Retry-After, `500`, `503`, any of 400 to 599)."""

_MASK = (1 << 64) - 1
_ODD = 0x9E3779B97F4A7C15


def item_identity(target: bytes, body: bytes) -> int:
    """Return the 64-bit identity of an item: the target as it stands in the request line, and the body."""
    return int.from_bytes(hashlib.sha256(b"%b\0%b" % (target, body)).digest()[:8], "little")


@dataclass(frozen=True)
class FaultPlan:
    """Shares of items (0 to 1 each, at most 1 together) that meet each fault.

    `rates` hit the first `attempts_affected` attempts of an item, each attempt on its own ("all": every
    attempt); `lasting` hits every attempt of an item alike. `retry_after` in seconds goes into 429 and
    503_retry_after, as an HTTP date if `retry_after_as_date`. Raises ValueError for an unknown fault or
    shares over 1.
    """

    seed: int = 0
    rates: Mapping[str, float] = field(default_factory=dict)
    lasting: Mapping[str, float] = field(default_factory=dict)
    attempts_affected: int | Literal["all"] = 1
    retry_after: float = 1.0
    retry_after_as_date: bool = False
    slow_body_seconds: float = 2.0
    _rates: tuple[tuple[float, str], ...] = field(init=False, repr=False, compare=False)
    _lasting: tuple[tuple[float, str], ...] = field(init=False, repr=False, compare=False)
    _salts: tuple[int, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for kind, rate in [*self.rates.items(), *self.lasting.items()]:
            _check(kind, rate)
        if sum(self.rates.values()) > 1 or sum(self.lasting.values()) > 1:
            raise ValueError("the shares of all faults together are more than 1")
        if self.attempts_affected != "all" and self.attempts_affected < 0:
            raise ValueError(f"attempts_affected must be 0 or more, not {self.attempts_affected}")
        object.__setattr__(self, "_rates", _steps(self.rates))
        object.__setattr__(self, "_lasting", _steps(self.lasting))
        object.__setattr__(self, "_salts", (_salt(self.seed, "rates"), _salt(self.seed, "lasting")))

    def fault_for(self, identity: int, attempt: int) -> str | None:
        """Return the fault of an item's attempt (1 is the first), or None.

        Attempts are counted as the server does: an attempt is over once it met a fault of `rates`; until then
        the next arrival of the item is the same attempt again.
        """
        if self._lasting:
            kind = _pick(self._lasting, _chance(identity, self._salts[1], 0))
            if kind is not None:
                return kind
        if self.attempts_affected != "all" and attempt > self.attempts_affected:
            return None
        return _pick(self._rates, _chance(identity, self._salts[0], attempt))

    def lasts(self, identity: int) -> bool:
        """Return whether every attempt of this item meets its fault."""
        return bool(self._lasting) and _pick(self._lasting, _chance(identity, self._salts[1], 0)) is not None

    def predict(self, identities: Iterable[int], *, max_attempts: int = 1_000) -> Counter[str]:
        """Count the faults by kind that a client meets which tries each item until it is answered.

        It gives up after `max_attempts`. Every identity is counted once, however often it is given.
        """
        total: Counter[str] = Counter()
        for identity in set(identities):
            for attempt in range(1, max_attempts + 1):
                kind = self.fault_for(identity, attempt)
                if kind is None:
                    break
                total[kind] += 1
        return total

    @property
    def is_empty(self) -> bool:
        """Whether no request meets a fault."""
        return not any(self.rates.values()) and not any(self.lasting.values())


class FaultLedger:
    """What the server remembers of a plan: how often it injected what, and the items that met a fault before.

    Memory is bounded by the number of faulted items (about 100 bytes each); all others leave no trace.
    """

    def __init__(self, plan: FaultPlan) -> None:
        self.plan = plan
        self.injected: Counter[str] = Counter()
        self._faulted: dict[int, int] = {}

    def take(self, identity: int) -> str | None:
        """Return the fault for the arrival of an item, and count it."""
        before = self._faulted.get(identity, 0)
        kind = self.plan.fault_for(identity, before + 1)
        if kind is not None:
            self.injected[kind] += 1
            if not self.plan.lasts(identity):
                self._faulted[identity] = before + 1
        return kind


def _check(kind: str, rate: float) -> None:
    status = int(kind) if kind.isdecimal() else 0
    if kind not in KINDS and not 400 <= status <= 599:
        raise ValueError(f"there is no fault {kind!r}: choose a status from 400 to 599, or {', '.join(KINDS)}")
    if not 0 <= rate <= 1:
        raise ValueError(f"the share of {kind} must be between 0 and 1, not {rate}")


def _steps(rates: Mapping[str, float]) -> tuple[tuple[float, str], ...]:
    # Sorted, so that two plans with the same shares agree however they were written down.
    upper = 0.0
    steps = []
    for kind, rate in sorted(rates.items()):
        upper += rate
        if rate > 0:
            steps.append((upper, kind))
    return tuple(steps)


def _pick(steps: tuple[tuple[float, str], ...], chance: float) -> str | None:
    if not steps or chance >= steps[-1][0]:
        return None
    return next(kind for upper, kind in steps if chance < upper)


def _salt(seed: int, use: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{use}:{seed}".encode()).digest()[:8], "little")


def _chance(identity: int, salt: int, attempt: int) -> float:
    """Return a number in [0, 1): the identity is a hash already, so one multiplication spreads it enough."""
    mixed = ((identity ^ salt) + attempt * _ODD) * 0xD6E8FEB86659FD93 & _MASK
    # 53 bits: a float holds them exactly, so that a chance is never rounded up to 1.
    return (((mixed ^ (mixed >> 32)) * _ODD & _MASK) >> 11) * 2.0**-53
