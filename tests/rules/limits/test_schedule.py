"""When an item was meant to start."""

from __future__ import annotations

from penstock.rules.limits.schedule import Schedule


def test_under_a_limit_items_are_meant_to_start_one_interval_apart() -> None:
    """Waiting for a slot in the client does not move the moment at which an item was due."""
    schedule = Schedule(1.0)
    schedule.restart(10.0)
    assert [schedule.intended(taken=now, now=now) for now in (10.0, 11.5, 14.0)] == [10.0, 11.0, 12.0]


def test_under_a_limit_of_many_an_item_is_meant_to_start_when_it_is_taken() -> None:
    """Which moments of a shared limit are ours nobody knows, so those of others are not counted as our lateness."""
    schedule = Schedule(1.0, ours=False)
    schedule.restart(10.0)
    assert [schedule.intended(taken=now - 0.25, now=now) for now in (10.0, 19.0)] == [9.75, 18.75]
