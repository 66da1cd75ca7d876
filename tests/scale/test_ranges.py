"""Ranges of records for several processes: every record once, also when a process dies with some of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from penstock.runs.done_set import DoneSet
from penstock.scale.local.ranges import Ranges


@given(
    total=st.integers(0, 5000),
    done=st.sets(st.integers(0, 4999), max_size=300),
    first_done=st.integers(0, 4999),
    deaths=st.lists(st.booleans(), max_size=30),
    processes=st.integers(1, 8),
)
def test_every_record_is_handed_out_once(
    total: int, done: set[int], first_done: int, deaths: list[bool], processes: int
) -> None:
    """What is not done is handed out exactly once, and again only what was given back."""
    known = DoneSet()
    done = {each for each in done | set(range(min(first_done, total) // 2)) if each < total}
    known.add(done)
    ranges, finished, dying = Ranges(total, known, processes), list[int](), list(deaths)
    while (taken := ranges.take()) is not None:
        begin, end, skip = taken
        positions = sorted(set(range(begin, end)) - set(skip))
        if dying and dying.pop():
            half = len(positions) // 2
            finished += positions[:half]
            ranges.give_back(set(positions[half:]))
        else:
            finished += positions
    assert sorted(finished) == sorted(set(range(total)) - done)


def test_ranges_are_small_near_the_end() -> None:
    """Nobody has a large part of what is left to himself."""
    ranges, left = Ranges(10_000, DoneSet(), 4), 10_000
    while (taken := ranges.take()) is not None:
        size = taken[1] - taken[0]
        assert size <= max(1, left / 32)
        left -= size
    assert left == 0


def test_millions_that_are_done_are_passed_over_at_once() -> None:
    """After --retry-failed a few are left among millions: they are found without a look at each."""
    bits = bytearray(b"\xff" * 1_250_000)
    bits[1_000_000] = 0xFE
    assert Ranges(10_000_000, DoneSet(0, b"\x7f" + bytes(bits[1:])), 2).take() is not None
    ranges = Ranges(10_000_000, DoneSet(0, bits), 2)
    taken = ranges.take()
    assert taken is not None
    assert taken[0] == 8_000_000
    assert len(taken[2]) == taken[1] - taken[0] - 1
    assert ranges.take() is None
