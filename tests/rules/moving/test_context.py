"""Two values of a name, and what they say."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.rules.moving.context import CarryFinding, held, kept, same


class Odd:
    def __eq__(self, other: object) -> bool:
        raise ValueError("not with me")

    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("before", "now", "nobody_ran", "own_code_ran"),
    [
        ("ann", "ann", None, None),
        ("ann", "bob", CarryFinding.CHANGED, None),
        ("ann", None, CarryFinding.LOST, CarryFinding.LOST),
        (None, "ann", CarryFinding.CHANGED, None),
        (None, None, None, None),
        (0, None, CarryFinding.LOST, CarryFinding.LOST),
        ("", "", None, None),
        ([1], [1], None, None),
        (Odd(), Odd(), CarryFinding.CHANGED, None),
    ],
)
def test_what_two_values_say(before: Any, now: Any, nobody_ran: Any, own_code_ran: Any) -> None:
    assert held(before, now) is nobody_ran
    assert kept(before, now) is own_code_ran


def test_a_value_is_always_itself() -> None:
    odd = Odd()
    assert same(odd, odd)
    assert not same(odd, Odd())
