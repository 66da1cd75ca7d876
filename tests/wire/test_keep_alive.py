"""What follows from how long the kept connections of an origin live; no clock, no loop."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.wire.keep_alive import KeepAlive

AGES = st.floats(0.0, 100.0)
EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("proved"), st.integers(1, 100)),
        st.tuples(st.sampled_from(["died", "lost", "outlived"]), AGES),
    ),
    max_size=200,
)


def fed(events: list[tuple[str, float]]) -> KeepAlive:
    rule = KeepAlive()
    for number, (what, value) in enumerate(events):
        if what == "proved":
            rule.proved(int(value))
        elif what == "outlived":
            rule.outlived(value)
        else:
            rule.died(value, float(number), lost_request=what == "lost")
    return rule


def proved(rule: KeepAlive, times: int, connections: int = 1) -> KeepAlive:
    for _ in range(times):
        rule.proved(connections)
    return rule


def test_at_first_one_connection_goes_ahead_and_the_others_wait_for_what_becomes_of_it() -> None:
    rule = KeepAlive()
    assert 0 < rule.rest() < rule.rest(first=False)
    rule.proved(20)
    assert rule.rest(first=False) == rule.rest() > 0
    assert (rule.trusted, rule.suspected, rule.most_resting(5)) == (False, False, math.inf)


@pytest.mark.parametrize(("connections", "proofs"), [(1, 16), (20, 320), (500, 1000)])
def test_an_origin_is_trusted_when_its_connections_were_used_again_often_enough(connections: int, proofs: int) -> None:
    rule = proved(KeepAlive(), proofs - 1, connections)
    assert not rule.trusted
    rule.proved(connections)
    assert (rule.trusted, rule.rest(), rule.limit) == (True, 0.0, math.inf)


@pytest.mark.parametrize(
    ("died", "rest"), [(0.0, 0.02), (0.001, 0.02), (0.005, 0.02), (0.02, 0.06), (0.05, 0.15), (0.1, 0.3)]
)
def test_after_a_close_right_after_an_answer_connections_rest_for_longer(died: float, rest: float) -> None:
    rule = proved(KeepAlive(), 20)
    rule.died(died, 0.0)
    assert rule.suspected
    assert rule.rest() == rule.rest(first=False) == pytest.approx(rest)
    assert rule.limit == math.inf


def test_trust_that_was_lost_is_won_back_with_more_proofs() -> None:
    rule = proved(KeepAlive(), 16)
    rule.died(0.0, 0.0)
    assert not proved(rule, 999).trusted
    assert proved(rule, 1).trusted


@pytest.mark.parametrize(("of", "few"), [(1, True), (2, False), (5, False), (10, False)])
def test_where_nearly_all_are_closed_one_at_a_time_is_kept(of: int, few: bool) -> None:
    rule = KeepAlive()
    for _ in range(50):
        proved(rule, of - 1)
        rule.died(0.0, 0.0)
    assert (rule.most_resting(10) == 1) is few
    assert rule.rest() >= (0.3 if few else 0.02)
    proved(rule, 3)
    assert rule.most_resting(10) == 36, "a server that was mended is found out soon"


@pytest.mark.parametrize(
    ("ages", "limit"),
    [([2.0], 1.0), ([5.0], 4.0), ([60.0], 59.0), ([0.3], 0.15), ([5.0, 2.0], 1.0), ([2.0, 2.9], 1.0)],
)
def test_a_connection_is_not_used_near_the_age_at_which_others_were_closed(ages: list[float], limit: float) -> None:
    rule = proved(KeepAlive(), 16)
    for age in ages:
        rule.died(age, 0.0)
    assert rule.limit == pytest.approx(limit)
    assert rule.trusted, "below that age all is well"


def test_a_request_lost_below_the_limit_lowers_it() -> None:
    rule = KeepAlive()
    rule.died(2.0, 0.0)
    rule.died(2.2, 0.0, lost_request=True)
    assert rule.limit == pytest.approx(0.7)


@pytest.mark.parametrize("ways", [("outlived",) * 3, ("died",) * 3, ("outlived", "died", "outlived")])
def test_connections_that_live_longer_correct_the_limit(ways: tuple[str, ...]) -> None:
    rule = KeepAlive()
    rule.died(2.0, 0.0)
    assert rule.worth_watching(2.9)
    assert not rule.worth_watching(3.0)
    for way in ways[:-1]:
        fed_one(rule, way, 4.0)
    assert rule.limit == 1.0
    fed_one(rule, ways[-1], 4.0)
    assert rule.limit == math.inf


def fed_one(rule: KeepAlive, way: str, age: float) -> None:
    if way == "died":
        rule.died(age, 0.0)
    else:
        rule.outlived(age)


def test_the_user_is_told_of_all_and_not_of_a_restart() -> None:
    restart = KeepAlive()
    assert not any(restart.died(0.01, 5.0) for _ in range(100))
    rule = KeepAlive()
    assert [rule.died(0.0, at) for at in (0.0, 0.4, 0.8, 0.9, 0.95, 1.0, 1.1, 9.0)] == [0, 0, 0, 0, 0, 6, 1, 1]
    assert rule.died(2.0, 10.0) == 0, "for its age"
    aged = KeepAlive()
    assert not any(aged.died(2.0, float(at)) for at in range(100))


@given(EVENTS)
def test_a_rest_has_an_end_and_so_has_distrust(events: list[tuple[str, float]]) -> None:
    rule = fed(events)
    assert 0.0 <= rule.rest() <= rule.rest(first=False) <= 0.3
    assert rule.most_resting(0) >= 1
    assert proved(rule, 1000, 100).trusted
    for _ in range(3):
        rule.outlived(1e9)
    assert rule.limit == math.inf


@given(EVENTS, AGES)
def test_never_kept_longer_than_half_or_a_second_less_than_what_was_seen_last(
    events: list[tuple[str, float]], age: float
) -> None:
    rule = fed(events)
    before = rule.limit
    rule.died(age, 0.0)
    if age > 0.1 and rule.limit < math.inf and rule.limit <= before:
        assert rule.limit <= max(age / 2, age - 1.0)
    assert rule.limit >= 0.05, "never so short that nothing is used"


@given(EVENTS)
def test_a_young_death_ends_trust_at_once(events: list[tuple[str, float]]) -> None:
    rule = fed(events)
    rule.died(0.001, 0.0)
    assert not rule.trusted
    assert rule.suspected
    assert rule.rest() >= 0.02
