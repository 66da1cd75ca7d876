"""When an arm is taken back, and when it is not."""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.rules.moving.judge import KINDS, LEAST, LEAST_DURATIONS, ArmSeen, control_to_compare, judge
from penstock.rules.moving.state import BackLimits

USUAL = BackLimits()
NONE = BackLimits(errors=None, p99_factor=None, p99_seconds=None, blocked=None, shed=None)


@dataclass
class Taken:
    """Durations as they are."""

    all: list[float]

    @property
    def count(self) -> int:
        """How many."""
        return len(self.all)

    def quantile(self, share: float) -> float | None:
        """By rank."""
        return sorted(self.all)[max(0, -int(-len(self.all) * share // 1) - 1)] if self.all else None

    def slower_than(self, seconds: float) -> int:
        """How many."""
        return sum(each > seconds for each in self.all)


def seen(
    count: int, *, errors: int = 0, slow: int = 0, shed: int = 0, blocked: float = 0.0, now: float = 0.0
) -> ArmSeen:
    """`count` requests of 10 ms, but for `slow` ones of 2 s."""
    return ArmSeen(Taken([0.01] * (count - slow) + [2.0] * slow), errors, shed, blocked, now)


TABLE: dict[str, tuple[ArmSeen, ArmSeen, BackLimits, str | None]] = {
    "nothing": (seen(0), seen(0), USUAL, None),
    "all is well": (seen(500), seen(500), USUAL, None),
    # Errors.
    "all of the arm fail": (
        seen(500),
        seen(20, errors=20),
        USUAL,
        "errors: 100.0% of 20 requests failed, 0.00% of 500",
    ),
    "one less than are needed": (seen(500), seen(LEAST - 1, errors=LEAST - 1), USUAL, None),
    "one error of many": (seen(500), seen(500, errors=1), USUAL, None),
    "one error of few": (seen(500), seen(20, errors=1), USUAL, None),
    # Intervals alone took these for certain; each happens by chance in some of 10,000 windows of equal arms.
    "three errors of sixty": (seen(2940, errors=3), seen(60, errors=3), USUAL, None),
    "six errors of sixty": (seen(2940, errors=60), seen(60, errors=6), USUAL, None),
    "five slow of sixty": (seen(2940, slow=29), seen(60, slow=5), USUAL, None),
    "both fail alike": (seen(500, errors=50), seen(500, errors=50), USUAL, None),
    "both fail, all of them": (seen(500, errors=500), seen(500, errors=500), USUAL, None),
    "the control fails more": (seen(500, errors=50), seen(500, errors=5), USUAL, None),
    "three times as many errors": (seen(1000, errors=20), seen(1000, errors=80), USUAL, "errors: 8.0% of 1,000"),
    "within the limit": (seen(100_000), seen(100_000, errors=90), USUAL, None),
    "twice the limit, of many": (seen(100_000), seen(100_000, errors=250), USUAL, "errors: 0.25% of 100,000"),
    "within a limit of its own": (seen(1000), seen(1000, errors=80), BackLimits(errors=0.1), None),
    "over a limit of its own": (seen(1000), seen(1000, errors=300), BackLimits(errors=0.1), "errors: 30.0%"),
    "a control that nobody knows": (seen(0), seen(200, errors=100), USUAL, "none known of the control"),
    "a control that nobody knows, one error": (seen(0), seen(200, errors=1), USUAL, None),
    "a control of three requests": (seen(3), seen(200, errors=100), USUAL, None),
    "errors are not judged": (seen(500), seen(500, errors=500), BackLimits(errors=None), None),
    # Durations.
    "all of the arm are slow": (seen(500), seen(50, slow=50), USUAL, "p99: 2.00 s of 50 requests, more than 1.5 times"),
    "one less than are needed, slow": (seen(500), seen(LEAST_DURATIONS - 1, slow=LEAST_DURATIONS - 1), USUAL, None),
    "a control with one less": (seen(LEAST_DURATIONS - 1), seen(500, slow=500), USUAL, None),
    "a control that nobody knows, slow": (seen(0), seen(500, slow=500), USUAL, None),
    "one slow of a hundred": (seen(500), seen(500, slow=5), USUAL, None),
    "one slow of twenty": (seen(1000), seen(1000, slow=50), USUAL, "p99: 2.00 s of 1,000"),
    "both slow alike": (seen(500, slow=50), seen(500, slow=50), USUAL, None),
    "faster": (seen(500, slow=500), seen(500), USUAL, None),
    "p99 is not judged": (seen(500), seen(500, slow=500), BackLimits(p99_factor=None), None),
    "slower than so many seconds": (seen(0), seen(100, slow=50), BackLimits(p99_seconds=1.0), "more than 1.00 s"),
    "slower than so many milliseconds": (seen(0), seen(100, slow=50), BackLimits(p99_seconds=0.3), "more than 300 ms"),
    "within so many seconds": (seen(500), seen(500, slow=500), BackLimits(p99_factor=None, p99_seconds=3.0), None),
    "one beyond so many seconds": (seen(500), seen(500, slow=1), BackLimits(p99_seconds=1.0), None),
    # A held loop.
    "held, a little": (seen(0), seen(0, blocked=0.19, now=0.45), USUAL, None),
    "held for longer": (
        seen(0),
        seen(0, blocked=0.21),
        USUAL,
        "blocked: the event loop of a worker was held for 21.0%",
    ),
    "held just now": (seen(0), seen(0, blocked=0.1, now=0.6), USUAL, "for 60.0% of the last moments"),
    "held by one that may": (seen(0), seen(0, blocked=0.6, now=0.6), BackLimits(blocked=0.7), None),
    "held without an end, by one that may": (seen(0), seen(0, blocked=0.1, now=1.0), BackLimits(blocked=0.7), "100.0%"),
    "held is not judged": (seen(0), seen(0, blocked=1.0, now=1.0), BackLimits(blocked=None), None),
    # The ceiling.
    "some are refused": (seen(500), seen(400, shed=100), USUAL, "shed: 20.0% of 500 requests were refused"),
    "all are refused": (seen(500), seen(0, shed=20), USUAL, "shed: 100.0% of 20"),
    "few are refused": (seen(500), seen(500, shed=3), USUAL, None),
    "refused, of too few": (seen(500), seen(0, shed=LEAST - 1), USUAL, None),
    "refused is not judged": (seen(500), seen(400, shed=100), BackLimits(shed=None), None),
    "nothing is judged": (seen(500), seen(500, errors=500, slow=500, shed=500, blocked=1.0, now=1.0), NONE, None),
}


@pytest.mark.parametrize(("control", "arm", "limits", "said"), TABLE.values(), ids=TABLE)
def test_an_arm_is_judged(control: ArmSeen, arm: ArmSeen, limits: BackLimits, said: str | None) -> None:
    """With a reason in words and numbers, or not at all."""
    reason = judge(control, arm, limits)
    if said is None:
        assert reason is None
    else:
        assert reason is not None
        assert said in reason
        assert reason.partition(":")[0] in KINDS


SEENS = st.integers(0, 400).flatmap(
    lambda count: st.builds(
        seen, st.just(count), errors=st.integers(0, count), slow=st.integers(0, count), shed=st.integers(0, 100)
    )
)


@given(SEENS)
def test_an_arm_is_not_worse_than_itself(both: ArmSeen) -> None:
    """Whatever happens to both alike, but for a ceiling that only the arm has."""
    assert judge(both, both, BackLimits(shed=None)) is None


@given(SEENS, SEENS)
def test_what_is_not_limited_takes_nothing_back(control: ArmSeen, arm: ArmSeen) -> None:
    """`--no-back`."""
    assert judge(control, arm, NONE) is None


@given(SEENS, st.integers(LEAST, 400), st.data())
def test_more_errors_never_look_better(control: ArmSeen, count: int, data: st.DataObject) -> None:
    """Of the same number of requests."""
    few = data.draw(st.integers(0, count))
    many = data.draw(st.integers(few, count))
    limits = BackLimits(p99_factor=None)
    if judge(control, seen(count, errors=few), limits) is not None:
        assert judge(control, seen(count, errors=many), limits) is not None


@pytest.mark.parametrize(
    ("lately", "ever", "wanted"),
    [(0, 900, 900), (LEAST_DURATIONS - 1, 900, 900), (LEAST_DURATIONS, 900, 50), (0, 0, 0)],
)
def test_a_control_of_the_same_time_where_there_is_one(lately: int, ever: int, wanted: int) -> None:
    """At a share of 100 % there is none, and then all that was ever seen of it is what there is."""
    assert control_to_compare(seen(lately), seen(ever)).durations.count == wanted


@pytest.mark.parametrize("errors", [0.0, 0.001, 0.02, 0.3])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.95])
def test_equal_arms_are_left_alone(errors: float, share: float) -> None:
    """600 windows of 2,000 requests with a long tail; `benchmarks move_back` has ten thousand of each kind."""
    chance = random.Random(f"{errors} {share}")
    for _ in range(50):
        control, arm = (_drawn(chance, int(2000 * part), errors) for part in (1 - share, share))
        assert judge(control, arm, USUAL) is None


def _drawn(chance: random.Random, count: int, errors: float) -> ArmSeen:
    durations = [chance.lognormvariate(-4.0, 1.0) for _ in range(count)]
    return ArmSeen(Taken(durations), sum(chance.random() < errors for _ in range(count)))


@pytest.mark.parametrize("bad", ["errors", "slow"])
@pytest.mark.parametrize(("lately", "wanted"), [(10, 10), (1, 1), (0, 1000)])
def test_a_moment_that_is_bad_for_both_is_not_compared_with_better_ones(bad: str, lately: int, wanted: int) -> None:
    """An upstream that fails, at little traffic: the arm was taken back for what hit the control as well."""
    ever = seen(1000)
    moment = seen(lately, errors=lately) if bad == "errors" else seen(lately, slow=lately)
    assert control_to_compare(moment, ever).durations.count == wanted


def test_a_few_that_are_good_are_no_reason_to_forget_the_others() -> None:
    assert control_to_compare(seen(10), seen(1000, errors=10)).durations.count == 1000
