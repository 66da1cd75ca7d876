"""The search for the highest rate: on the same rungs for all arms, and not ended by one bad slice."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest

from penstock.rules.moving.capacity import DOUBLING, Capacity, RateSearch, luck_of, rate_ratio


def search(
    keeps: Callable[[str, float], bool], arms: tuple[str, ...] = ("control", "async"), start: float = 100.0
) -> tuple[RateSearch, list[tuple[str, float]]]:
    """Carried out to its end."""
    made = RateSearch(arms, start, highest=20_000)
    asked = []
    while (following := made.next_slice()) is not None:
        asked.append(following)
        assert len(asked) < 300
        made.note(following[0], kept=keeps(*following))
    return made, asked


@pytest.mark.parametrize("control", [0.9, 3.0, 99.0, 100.0, 101.0, 113.0, 399.0, 1600.0])
@pytest.mark.parametrize("arm", [0.9, 113.0, 5000.0])
def test_both_ends_are_found(control: float, arm: float) -> None:
    """To 4 %, wherever it is."""
    limits = {"control": control, "async": arm}
    made, _ = search(lambda name, rate: rate <= limits[name])
    for name, limit in limits.items():
        found = made.capacity(name)
        assert found.held is not None
        assert found.failed is not None
        assert found.held <= limit < found.failed
        assert found.failed / found.held <= 1.04
        assert found.is_found


def test_arms_that_can_take_the_same_are_asked_on_the_same_rungs_in_turn() -> None:
    _, asked = search(lambda _name, rate: rate <= 230)
    rates = {name: [rate for each, rate in asked if each == name] for name in ("control", "async")}
    assert rates["control"] == rates["async"]
    assert [name for name, _ in asked[:4]] == ["control", "async", "async", "control"]
    assert len(asked) <= 2 * 2 * 8


def test_a_rung_that_can_tell_nothing_new_is_not_asked() -> None:
    """An arm that keeps 400/s is not asked for what the other one is."""
    limits = {"control": 113.0, "async": 400.0}
    made, asked = search(lambda name, rate: rate <= limits[name])
    settled = made.capacity("async")
    assert settled.held is not None
    for name, limit in limits.items():
        mine = [rate for each, rate in asked if each == name]
        held = [rate for rate in mine if rate <= limit]
        assert held == sorted(held)


@pytest.mark.parametrize("bad", range(8))
def test_one_bad_slice_ends_nothing(bad: int) -> None:
    """It once stopped a search at a third of what was there."""
    count = 0

    def keeps(name: str, rate: float) -> bool:
        nonlocal count
        count += name == "control"
        return rate <= 300 and not (name == "control" and count == bad)

    made, _ = search(keeps)
    found = made.capacity("control")
    assert found.held is not None
    assert found.held >= 300 / 1.04


def test_the_same_against_itself_is_no_gain_with_noise() -> None:
    """Near the limit a slice keeps the target by luck; the ratios of 300 searches stay well below a gain."""
    random_ = random.Random(5)
    ratios = []
    for _ in range(300):
        made, _ = search(lambda _name, rate: rate * math.exp(random_.gauss(0, 0.05)) <= 230)
        ratio = rate_ratio(made.capacity("control"), made.capacity("async"))
        assert ratio is not None
        ratios.append(ratio.value)
    assert max(ratios) < 1.25
    assert min(ratios) > 0.8


@pytest.mark.parametrize(
    ("limit", "held", "says"),
    [(math.inf, True, "no more than 20,000/s were tried"), (0.0, False, "not even")],
)
def test_a_search_ends_where_there_is_no_limit(limit: float, held: bool, says: str) -> None:
    made, _ = search(lambda _name, rate: rate <= limit)
    found = made.capacity("async")
    assert (found.held is not None) is held
    assert found.ended is not None
    assert says in found.ended
    assert not found.is_found


def test_an_arm_that_is_given_up_keeps_what_is_known() -> None:
    made = RateSearch(("control", "async"), 100.0)
    for _ in range(4):
        following = made.next_slice()
        assert following is not None
        made.note(following[0], kept=True)
    made.give_up("async", "the client was late")
    assert made.capacity("async") == Capacity(100.0, None, "the client was late")
    following = made.next_slice()
    assert following is not None
    assert following[0] == "control"
    assert following[1] == pytest.approx(200.0)


def test_two_rungs_are_four_percent_apart() -> None:
    assert pytest.approx(1.0393, abs=1e-4) == 2 ** (1 / DOUBLING)


@pytest.mark.parametrize(
    ("control", "arm", "found"),
    [
        ((100, 104), (200, 208), (2.0, 200 / 104, 2.08)),
        ((100, None), (200, 208), None),
        ((100, 104), (200, None), None),
        ((None, 4), (200, 208), None),
        ((None, None), (None, None), None),
    ],
)
def test_a_ratio_of_rates_needs_all_ends(
    control: tuple[float | None, float | None],
    arm: tuple[float | None, float | None],
    found: tuple[float, float, float] | None,
) -> None:
    ratio = rate_ratio(Capacity(*control), Capacity(*arm))
    assert (None if ratio is None else (ratio.value, ratio.low, ratio.high)) == found


@pytest.mark.parametrize(
    ("control", "arm", "luck"),
    [
        ([False] * 7, [True] * 7, 1 / 3432),
        ([True] * 7, [True] * 7, 1.0),
        ([False] * 3, [True] * 3, 1 / 20),
        ([True] * 3, [False] * 3, 1.0),
        ([False, False, True], [True, True, True], 1 / 5),
    ],
)
def test_how_likely_luck_is(control: list[bool], arm: list[bool], luck: float) -> None:
    assert luck_of(control, arm) == pytest.approx(luck)
