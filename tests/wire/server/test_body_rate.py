"""How slow a request body may be, on a clock of its own."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest

from penstock.wire.server.body_rate import BodyRate
from penstock.wire.server.limits import ServerLimits


@dataclass
class Reader:
    taken: int = 1_000_000


def late_after(per_second: list[int], *, rate: float | None = 500.0, grace: float = 20.0) -> int | None:
    """The second in which a body that comes as `per_second` says is late; None if it never is."""
    reader = Reader()
    body = BodyRate(ServerLimits(min_body_rate=rate, body_grace=grace), reader, now=100.0)
    for second, size in enumerate(per_second, 1):
        reader.taken += size
        if body.is_late(100.0 + second, due=1000.0):
            return second
    return None


@pytest.mark.parametrize(
    ("per_second", "second"),
    [
        ([0] * 100, 20),
        ([1] * 100, 21),
        ([250] * 100, 40),
        ([499] * 1000, None),
        ([500] * 10_000, None),
        ([10**9] + [0] * 100, 21),
        ([0] * 19 + [10**9] + [0] * 100, 40),
        (([0] * 10 + [5500]) * 50, None),
    ],
    ids=["nothing", "a byte", "half", "a little less, for long", "just", "fast first", "in time", "in bursts"],
)
def test_late(per_second: list[int], second: int | None) -> None:
    assert late_after(per_second) == second


def test_without_a_rate_nothing_is_late() -> None:
    assert late_after([0] * 10_000, rate=None) is None


def test_only_time_in_which_the_client_is_waited_for_counts() -> None:
    body = BodyRate(ServerLimits(), Reader(), now=0.0)
    for second in range(1, 1000):
        assert not body.is_late(float(second), due=math.inf)
    for second in range(1000, 2000):
        body.excused = True
        assert not body.is_late(float(second), due=5000.0)
    assert not body.is_late(2019.0, due=5000.0)


def test_a_loop_that_was_blocked_accuses_nobody() -> None:
    body = BodyRate(ServerLimits(), Reader(), now=0.0)
    assert not body.is_late(3600.0, due=5000.0)
