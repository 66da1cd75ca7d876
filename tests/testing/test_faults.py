"""Fault plans: a pure function of what is asked, with the shares that were asked for."""

from __future__ import annotations

import hashlib
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.testing import FaultPlan, item_identity
from penstock.testing.faults import KINDS, FaultLedger

ITEMS = [item_identity(b"/search", b"item %d" % n) for n in range(20_000)]
RATES = {"429": 0.02, "500": 0.01, "reset": 0.005, "hang": 0.001}


def test_an_identity_tells_target_and_body_apart() -> None:
    pairs = [(b"/a", b"b"), (b"/ab", b""), (b"/", b"ab"), (b"", b"/ab"), (b"/a", b"c")]
    assert len({item_identity(*pair) for pair in pairs}) == len(pairs)
    # The same in every process and release: plans are compared across both.
    digest = hashlib.sha256(b"/a\0b").digest()
    assert item_identity(b"/a", b"b") == int.from_bytes(digest[:8], "little")


def test_shares_are_those_of_the_plan() -> None:
    counts = FaultPlan(7, RATES).predict(ITEMS)
    for kind, rate in RATES.items():
        expected = rate * len(ITEMS)
        assert abs(counts[kind] - expected) <= 5 * expected**0.5


def test_another_seed_hits_other_items() -> None:
    hit = [{item for item in ITEMS if FaultPlan(seed, {"500": 0.1}).fault_for(item, 1)} for seed in range(4)]
    for other in hit[1:]:
        # Independent: a tenth of a tenth is hit by both.
        assert 120 <= len(hit[0] & other) <= 280


def test_attempts_are_hit_independently() -> None:
    plan = FaultPlan(1, {"500": 0.1}, attempts_affected="all")
    first = {item for item in ITEMS if plan.fault_for(item, 1)}
    second = {item for item in ITEMS if plan.fault_for(item, 2)}
    assert 120 <= len(first & second) <= 280


@pytest.mark.parametrize("affected", [0, 1, 3])
def test_attempts_affected_ends_the_faults(affected: int) -> None:
    plan = FaultPlan(3, {"500": 1.0}, attempts_affected=affected)
    assert [plan.fault_for(5, attempt) for attempt in range(1, 6)] == ["500"] * affected + [None] * (5 - affected)


def test_a_lasting_fault_hits_every_attempt_alike() -> None:
    plan = FaultPlan(3, {"429": 0.5}, lasting={"404": 0.1, "html": 0.1})
    lasting = [item for item in ITEMS if plan.lasts(item)]
    assert 3_600 <= len(lasting) <= 4_400
    for item in lasting[:50]:
        kinds = {plan.fault_for(item, attempt) for attempt in range(1, 10)}
        assert len(kinds) == 1
        assert kinds <= {"404", "html"}
    assert plan.predict(lasting[:50], max_attempts=4).total() == 200


def test_the_order_of_writing_is_no_matter() -> None:
    backwards = dict(reversed(RATES.items()))
    assert FaultPlan(7, RATES).predict(ITEMS) == FaultPlan(7, backwards).predict(ITEMS)
    assert FaultPlan(7, RATES) == FaultPlan(7, backwards)


@given(
    st.integers(0, 100),
    st.sampled_from([1, 2, "all"]),
    st.lists(st.integers(0, 200), max_size=100),
    st.integers(1, 6),
)
def test_the_ledger_injects_what_was_predicted(seed: int, affected: int, items: list[int], max_attempts: int) -> None:
    """Whatever the order of arrival: here each item is tried until it is answered, or given up."""
    plan = FaultPlan(seed, {"429": 0.3, "500": 0.2}, lasting={"404": 0.1}, attempts_affected=affected)
    ledger = FaultLedger(plan)
    identities = [item_identity(b"/", b"%d" % item) for item in dict.fromkeys(items)]
    met: Counter[str] = Counter()
    waiting = [(identity, 1) for identity in identities]
    while waiting:
        identity, attempt = waiting.pop(0)
        kind = ledger.take(identity)
        if kind is not None:
            met[kind] += 1
            if attempt < max_attempts:
                waiting.append((identity, attempt + 1))
    assert met == ledger.injected == plan.predict(identities, max_attempts=max_attempts)


def test_the_ledger_forgets_what_met_no_fault() -> None:
    ledger = FaultLedger(FaultPlan(7, {"500": 0.01}, lasting={"404": 0.01}))
    for item in ITEMS:
        ledger.take(item)
    assert len(ledger._faulted) == ledger.injected["500"]


@pytest.mark.parametrize("kind", ["200", "399", "600", "timeout", "", "-1", "4xx"])
def test_an_unknown_fault_is_refused(kind: str) -> None:
    with pytest.raises(ValueError, match="no fault"):
        FaultPlan(1, {kind: 0.1})


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan")])
def test_a_share_out_of_range_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        FaultPlan(1, lasting={"500": rate})


def test_shares_over_one_together_are_refused() -> None:
    with pytest.raises(ValueError, match="more than 1"):
        FaultPlan(1, {"500": 0.6, "503": 0.6})
    with pytest.raises(ValueError, match="attempts_affected"):
        FaultPlan(1, attempts_affected=-1)


def test_an_empty_plan_says_so() -> None:
    assert FaultPlan().is_empty
    assert FaultPlan(1, {"500": 0.0}).is_empty
    assert not FaultPlan(1, lasting=dict.fromkeys(KINDS, 0.1)).is_empty
