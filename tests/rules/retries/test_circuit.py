"""The circuit: when a host is taken to be down, how it is asked, and how it comes back."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.rules.retries.circuit import (
    EVIDENCE,
    LAST_PROBE,
    MOST_PROBES,
    MOST_SILENCE,
    NO_CONNECTION_SECONDS,
    REFUSED_EVIDENCE,
    REFUSED_SECONDS,
    TRIAL_SECONDS,
    Circuit,
    CircuitState,
    Sign,
    sign_of,
    sure_after,
)
from penstock.rules.retries.verdict import Classified, Verdict


def fail(circuit: Circuit, times: int, now: float = 0.0, *, fresh: bool = True, refused: bool = False) -> None:
    """So many attempts that were sent just before `now` fail."""
    for _ in range(times):
        circuit.failed(now, sent_at=now, fresh=fresh, refused=refused)


def state(circuit: Circuit) -> CircuitState:
    """Its state, which a type checker would take to stay what it was."""
    return circuit.state


def opened(now: float = 0.0) -> Circuit:
    """A circuit that has just opened."""
    circuit = Circuit()
    fail(circuit, EVIDENCE, now)
    assert state(circuit) is CircuitState.OPEN
    return circuit


def test_it_opens_when_so_many_items_fail_and_none_succeeds() -> None:
    """One less is not enough."""
    circuit = Circuit()
    fail(circuit, EVIDENCE - 1)
    assert (state(circuit), circuit.era) == (CircuitState.CLOSED, 1)
    fail(circuit, 1, now=7.0)
    assert (state(circuit), circuit.era, circuit.failing_since) == (CircuitState.OPEN, 2, 0.0)


@pytest.mark.parametrize("kind", ["connect", "http_5xx"])
def test_with_one_host_three_that_find_nobody_there_are_enough(kind: str) -> None:
    """After a moment without a good answer, whichever items they are; never where hosts may differ."""
    after = sure_after(Classified(Verdict.RETRYABLE, kind, status=503 if kind == "http_5xx" else None))
    for one_host in (True, False):
        circuit = Circuit(one_host=one_host)
        for now in (0.0, 0.3 * after, 0.6 * after, 0.9 * after):
            circuit.failed(now, sent_at=now, fresh=False, sure_after=after)
        assert state(circuit) is CircuitState.CLOSED
        circuit.failed(1.1 * after, sent_at=1.1 * after, fresh=False, sure_after=after)
        assert (state(circuit) is CircuitState.OPEN) == one_host


def test_a_good_answer_between_them_shows_that_somebody_is_there() -> None:
    """Refusals for want of workers, and answers in between, are no outage."""
    circuit = Circuit(one_host=True)
    for number in range(200):
        now = 0.15 * number
        for _ in range(5):
            circuit.failed(now, sent_at=now, fresh=False, sure_after=NO_CONNECTION_SECONDS)
        circuit.answered(now, sent_at=now)
    assert state(circuit) is CircuitState.CLOSED


def test_the_same_few_items_over_and_over_are_no_evidence() -> None:
    """A run of a few items that always fail ends by their own attempts."""
    circuit = Circuit()
    fail(circuit, EVIDENCE - 1)
    fail(circuit, 1000, fresh=False)
    assert state(circuit) is CircuitState.CLOSED


@pytest.mark.parametrize(("failing", "opens"), [(0.5, False), (0.8, False), (1.0, True)])
def test_partial_failure_is_no_outage(failing: float, opens: bool) -> None:
    """Half of the calls failing, or four in five evenly, is trouble, but somebody is there."""
    circuit = Circuit()
    for number in range(1000):
        now = number * 0.1
        if (number * failing) % 1 + failing >= 1:
            circuit.failed(now, sent_at=now, fresh=True)
        else:
            circuit.answered(now, sent_at=now)
        if state(circuit) is CircuitState.OPEN:
            break
    assert (state(circuit) is CircuitState.OPEN) == opens


def test_late_answers_of_what_was_in_flight_do_not_hide_an_outage_for_long() -> None:
    """Twenty answers that come in among the first failures delay the decision, they do not prevent it."""
    circuit = Circuit()
    for _ in range(20):
        fail(circuit, 1)
        circuit.answered(0.0, sent_at=-0.2)
    fail(circuit, 60)
    assert state(circuit) is CircuitState.OPEN


def busy(circuit: Circuit, begin: float, seconds: float) -> float:
    """A busy host: good answers 0.1 to 0.3 s apart, forty refusals of fresh items after each; returns the end."""
    now = begin
    number = 0
    while now < begin + seconds:
        number += 1
        now += 0.1 + 0.1 * (number % 3)
        circuit.tick(now)
        circuit.answered(now, sent_at=now - 0.05)
        for each in range(40):
            circuit.failed(now + each / 400, sent_at=now + each / 400, fresh=True)
    return now


def test_a_busy_host_that_refuses_most_at_once_is_not_down() -> None:
    """Good answers all the time, and many refusals between any two of them: once it is known, it stays closed."""
    circuit = Circuit()
    now = busy(circuit, 0.0, 2.0 + TRIAL_SECONDS)
    assert (state(circuit), circuit.era) == (CircuitState.CLOSED, 2)
    now = busy(circuit, now, 60.0)
    assert (state(circuit), circuit.era) == (CircuitState.CLOSED, 2)
    fail(circuit, 40, now=now + 1.0)
    assert state(circuit) is CircuitState.OPEN


def test_late_answers_do_not_hide_that_all_items_have_failed_since() -> None:
    """Every item of a short run fails at once, then what was under way is answered: their retries open it."""
    circuit = Circuit()
    circuit.failed(0.0, sent_at=0.0, fresh=True)
    circuit.answered(0.3, sent_at=0.1)
    fail(circuit, 60, now=1.0)
    for number in range(20):
        circuit.answered(1.0 + number / 100, sent_at=0.9)
    fail(circuit, 1, now=1.0 + MOST_SILENCE, fresh=False)
    assert state(circuit) is CircuitState.OPEN


def test_nothing_is_remembered_while_all_is_well() -> None:
    """After a failure that stood alone, good answers need not be told any more."""
    circuit = Circuit()
    seen = [circuit.troubled]
    fail(circuit, 1)
    seen.append(circuit.troubled)
    for _ in range(60):
        circuit.answered(1.0, sent_at=1.0)
    assert [*seen, circuit.troubled] == [False, True, False]


def test_refusals_open_it_only_after_a_minute_without_a_good_answer() -> None:
    """429 from a server that lets go within its window is no outage; one that refuses on and on is."""
    circuit = Circuit()
    fail(circuit, 100, refused=True)
    fail(circuit, 100, now=REFUSED_SECONDS - 1, refused=True)
    assert state(circuit) is CircuitState.CLOSED
    fail(circuit, 1, now=REFUSED_SECONDS, refused=True)
    assert state(circuit) is CircuitState.OPEN
    calm = Circuit()
    fail(calm, 100, refused=True)
    calm.answered(30.0, sent_at=29.0)
    fail(calm, REFUSED_EVIDENCE - 1, now=REFUSED_SECONDS + 31, refused=True)
    fail(calm, 50, now=2 * REFUSED_SECONDS + 31, fresh=False, refused=True)
    assert state(calm) is CircuitState.CLOSED


def test_probes_begin_close_together_and_are_never_further_apart_than_recovery_may_wait() -> None:
    """Half a second at first, then longer, up to the cap."""
    circuit = opened()
    gaps = []
    now = 0.0
    for number in range(12):
        gaps.append(circuit.next_probe - now)
        now = circuit.next_probe
        circuit.probe_sent(now, (number % 4) / 4)
    assert gaps[0] == 0.5
    assert all(0.8 * 0.5 <= gap <= LAST_PROBE for gap in gaps)
    assert min(gaps[5:]) >= 0.79 * LAST_PROBE
    assert circuit.allowance(now) == MOST_PROBES


def test_only_what_was_sent_after_it_opened_says_that_the_host_is_back() -> None:
    """What was in flight when it opened may still be answered."""
    circuit = opened(now=10.0)
    circuit.answered(11.0, sent_at=9.0)
    assert state(circuit) is CircuitState.OPEN
    circuit.answered(12.0, sent_at=11.0)
    assert state(circuit) is CircuitState.TRIAL
    assert math.isinf(circuit.failing_since)


def test_the_traffic_comes_back_in_steps_and_then_wholly() -> None:
    """The allowance begins at two, grows with answers and with time, and the trial ends by itself."""
    circuit = opened()
    circuit.answered(5.0, sent_at=4.0)
    assert circuit.allowance(5.0) == 2
    assert circuit.allowance(5.5) == 4
    for _ in range(9):
        circuit.answered(5.5, sent_at=5.1)
    assert circuit.allowance(5.5) == 22
    circuit.tick(5.0 + TRIAL_SECONDS - 0.1)
    assert state(circuit) is CircuitState.TRIAL
    circuit.tick(5.0 + TRIAL_SECONDS)
    assert state(circuit) is CircuitState.CLOSED
    assert math.isinf(circuit.allowance(100.0))


def test_a_trial_that_fails_opens_it_again() -> None:
    """A few failures without answers are enough then; the era is a new one."""
    circuit = opened()
    circuit.answered(5.0, sent_at=4.0)
    fail(circuit, 4, now=5.2)
    assert state(circuit) is CircuitState.TRIAL
    fail(circuit, 1, now=5.2)
    assert (state(circuit), circuit.era) == (CircuitState.OPEN, 3)
    assert circuit.failing_since == 5.2


def test_what_was_sent_before_the_recovery_is_excused() -> None:
    """Calls that hung through the outage and fail after it say nothing about now."""
    circuit = opened()
    assert circuit.excuses(3.0)
    circuit.answered(5.0, sent_at=4.0)
    for _ in range(100):
        circuit.failed(6.0, sent_at=4.5, fresh=True)
    assert state(circuit) is CircuitState.TRIAL
    assert circuit.excuses(4.5)
    assert not circuit.excuses(5.0)


def test_one_without_evidence_never_opens() -> None:
    """For those who want every item to end by its own attempts."""
    circuit = Circuit(evidence=math.inf)
    fail(circuit, 1000)
    fail(circuit, 1000, now=1e6, refused=True)
    assert state(circuit) is CircuitState.CLOSED


@pytest.mark.parametrize(
    ("what", "sign"),
    [
        (Classified(Verdict.RETRYABLE, "connect"), Sign.DOWN),
        (Classified(Verdict.FATAL, "http_5xx", "", 500), Sign.DOWN),
        (Classified(Verdict.FATAL, "http_5xx", "", 501), Sign.ANSWERS),
        (Classified(Verdict.FATAL, "http_4xx", "", 404), Sign.ANSWERS),
        (Classified(Verdict.FATAL, "unexpected"), Sign.ANSWERS),
        (Classified(Verdict.THROTTLED, "throttled", "", 429), Sign.REFUSES),
        (Classified(Verdict.FATAL, "throttled", "", 429), Sign.REFUSES),
        (Classified(Verdict.RETRYABLE, "exception"), Sign.DOWN),
        (Classified(Verdict.FATAL, "exception"), Sign.NOTHING),
        (Classified(Verdict.FATAL, "bad_record"), Sign.NOTHING),
        (Classified(Verdict.FATAL, "tls"), Sign.NOTHING),
        (Classified(Verdict.SUCCESS), Sign.ANSWERS),
    ],
)
def test_what_an_ending_says_about_the_host(what: Classified, sign: Sign) -> None:
    """Kinds that may be the host's fault, that show it alive, and that say nothing."""
    assert sign_of(what) is sign


_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["fail", "again", "refuse", "answer", "tick", "probe"]), st.floats(0, 3), st.floats(0, 5)
    ),
    max_size=200,
)


@given(steps=_STEPS)
def test_it_always_opens_for_a_dead_host_and_always_closes_for_a_live_one(
    steps: list[tuple[str, float, float]],
) -> None:
    """From wherever it is: fresh failures open it, answers and time close it; nothing grows without bound."""
    circuit = Circuit()
    now = 0.0
    for step, seconds, ago in steps:
        now += seconds
        if step == "answer":
            circuit.answered(now, sent_at=now - ago)
        elif step == "tick":
            circuit.tick(now)
        elif step == "probe":
            circuit.probe_sent(now, 0.5)
        else:
            circuit.failed(now, sent_at=now - ago, fresh=step != "again", refused=step == "refuse")
        assert circuit.allowance(now) >= 1
    assert len(circuit._window) <= 50
    dead, alive = circuit, now + 10.0
    fail(dead, 1100, now=alive)
    alive += MOST_SILENCE
    fail(dead, 1, now=alive)
    assert state(dead) is CircuitState.OPEN
    dead.answered(alive + 1, sent_at=alive + 0.5)
    dead.tick(alive + 1 + TRIAL_SECONDS)
    assert state(circuit) is CircuitState.CLOSED
