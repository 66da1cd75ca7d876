"""What forbids a statement, each with its reason; and the words that are said where nothing does."""

from __future__ import annotations

from dataclasses import replace

import pytest

from penstock.errors import UsageError
from penstock.rules.moving.bottleneck import Bottleneck, ServerSeen, StopsAt, bottleneck_of
from penstock.rules.moving.capacity import Capacity
from penstock.rules.moving.money import Instances, a_month, instances, parse_cost, parse_peak
from penstock.rules.moving.pairs import Ratio
from penstock.rules.moving.refusals import (
    Disturbance,
    Obstacle,
    afterwards,
    disagreement,
    disturbance,
    errors,
    is_vote,
    other_answers,
    redirects,
    spoilt,
)
from penstock.rules.moving.slices import Slice
from penstock.rules.moving.verdict import Compared, Word, judge, share_of_client

GOOD = Slice(arm="control", rate=100, seconds=1, sent=100, answered=100, failed=0, server_cpu=0.5, p50=0.01, p99=0.02)
TARGET = 0.1


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, None),
        ({"late": 0.02}, None),
        ({"late": 0.0201}, Disturbance.LATE),
        ({"client_cpu": 0.8}, None),
        ({"client_cpu": 0.81}, Disturbance.CLIENT),
        ({"neighbours": 0.1}, None),
        ({"neighbours": 0.11}, Disturbance.NEIGHBOUR),
        # What the host takes from all alike spoils nothing by itself; a neighbour beside it does.
        ({"steal": 0.4, "client_steal": 0.4}, None),
        ({"steal": 0.4, "neighbours": 0.11}, Disturbance.NEIGHBOUR),
        ({"steal": 0.4, "late": 0.0201}, Disturbance.LATE),
        # A neighbour makes the client late; it is what can be done something about.
        ({"neighbours": 0.5, "late": 1.0, "client_cpu": 0.9}, Disturbance.NEIGHBOUR),
    ],
)
def test_what_spoils_a_slice(changes: dict[str, float], found: Disturbance | None) -> None:
    assert disturbance(replace(GOOD, **changes), TARGET) is found  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("bad", "of", "changes", "words"),
    [
        (1, 3, {"neighbours": 0.5}, ""),
        (
            2,
            3,
            {"neighbours": 0.5},
            "busy where the server runs: a process of this machine, with up to 50% of a core (2 of 3 slices)",
        ),
        (2, 2, {"client_cpu": 0.97}, "the client that makes the load was at its limit: 97% of a core at 100/s"),
        (2, 2, {"late": 0.225}, "was late: 1 % of its requests by 225 ms or more at 100/s, where 20 ms are allowed"),
        (
            2,
            2,
            {"late": 0.225, "client_steal": 0.35},
            "too little of a core: the host took up to 35% of the time in which it had work (2 of 2 slices)",
        ),
        (2, 2, {"steal": 0.6}, ""),
        (0, 0, {}, ""),
    ],
)
def test_too_many_spoilt_slices(bad: int, of: int, changes: dict[str, float], words: str) -> None:
    slices = [replace(GOOD, **changes)] * bad + [GOOD] * (of - bad)  # type: ignore[arg-type]
    found = spoilt(slices, TARGET)
    assert (found is None) is (not words)
    assert found is None or words in found.why


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, True),
        ({"p99": 0.5}, True),
        ({"was_cut": True}, True),
        ({"neighbours": 0.5}, False),
        ({"late": 0.05}, False),
        # Requests that wait in vain make the client late as well.
        ({"late": 0.05, "was_cut": True}, True),
        # What is kept in spite of the host is kept; a failure says something where the host took what it always takes.
        ({"steal": 0.9}, True),
        ({"steal": 0.6, "p99": 0.5}, True),
        ({"steal": 0.61, "p99": 0.5}, False),
        ({"steal": 0.61, "was_cut": True}, False),
    ],
)
def test_what_counts_in_the_search_for_a_rate(changes: dict[str, float], says: bool) -> None:
    assert is_vote(replace(GOOD, **changes), TARGET, usual_steal=0.3) is says  # type: ignore[arg-type]


def test_errors_name_the_arm_and_what_they_are() -> None:
    failed = replace(GOOD, failed=20, why_failed={"HTTP 401": 20})
    found = errors([GOOD, failed], "control")
    assert found == Obstacle("errors", "errors in the control: 20 of 200 (20 x HTTP 401)")
    assert errors([GOOD, replace(failed, arm="async")], "control") is None
    other = errors([replace(failed, arm="async")], "async")
    assert other is not None
    assert "errors in arm 'async'" in other.why
    assert errors([], "control") is None


@pytest.mark.parametrize(
    ("control", "arm", "words"),
    [
        ({200: 100}, {200: 100}, ""),
        ({200: 95, 404: 5}, {200: 90, 404: 10}, ""),
        ({200: 100}, {204: 100}, "arm 'async' does something else: it answers HTTP 204 (100%); the control HTTP 200"),
        ({200: 100}, {304: 100}, "it answers HTTP 304 (100%)"),
        ({200: 100}, {302: 50, 200: 50}, "it answers HTTP 200 (50%), HTTP 302 (50%)"),
        ({302: 100}, {200: 100}, "the control HTTP 302 (100%)"),
        ({}, {200: 100}, ""),
    ],
)
def test_an_arm_that_answers_otherwise(control: dict[int, int], arm: dict[int, int], words: str) -> None:
    """It is quick, and no gain."""
    slices = [replace(GOOD, statuses=control, body_bytes=9), replace(GOOD, arm="async", statuses=arm, body_bytes=9)]
    found = other_answers(slices, "control", "async")
    assert (found is None) is (not words)
    assert found is None or words in found.why


def test_an_arm_that_answers_nothing() -> None:
    full, empty = replace(GOOD, statuses={200: 100}, body_bytes=900), replace(GOOD, statuses={200: 100})
    found = other_answers([full, replace(empty, arm="async")], "control", "async")
    assert found is not None
    assert "its answers are empty, and those of the control are not" in found.why
    assert other_answers([empty, replace(empty, arm="async")], "control", "async") is None


@pytest.mark.parametrize(
    ("statuses", "said"),
    [({302: 100}, True), ({303: 60, 200: 40}, True), ({302: 40, 200: 60}, False), ({304: 100}, False), ({}, False)],
)
def test_redirects_may_be_a_login(statuses: dict[int, int], said: bool) -> None:
    assert redirects([replace(GOOD, statuses=statuses)], "control") is said


@pytest.mark.parametrize(
    ("served", "other", "forbids"),
    # An idle server looks at something now and then; work that is put off is more than that.
    [(0.4, 0.0, False), (0.4, 0.04, False), (0.4, 0.05, True), (0.01, 0.01, False), (0.01, 0.4, True)],
)
def test_work_after_the_answer(served: float, other: float, forbids: bool) -> None:
    found = afterwards([replace(GOOD, server_cpu=served, other_cpu=other)] * 8)
    assert (found is not None) is forbids
    assert found is None or "the servers work on after they have answered: " in found.why
    assert afterwards([]) is None


@pytest.mark.parametrize(("spread", "forbids"), [(0.1, False), (0.11, True)])
def test_pairs_that_disagree(spread: float, forbids: bool) -> None:
    found = disagreement({"client": 0.01, "async": spread})
    assert (found is not None) is forbids
    assert found is None or "the pairs of arm 'async' disagree: their ratios lie 11% apart" in found.why


@pytest.mark.parametrize(
    ("changes", "keeps"),
    [
        ({}, True),
        ({"p99": 0.1}, True),
        ({"p99": 0.11}, False),
        ({"was_cut": True}, False),
        ({"failed": 1}, False),
        ({"p99": None}, False),
    ],
)
def test_what_keeps_the_target(changes: dict[str, float], keeps: bool) -> None:
    assert replace(GOOD, **changes).keeps(TARGET) is keeps  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("cpu", "steal", "wanted"), [(0.5, 0.0, 0.5), (0.48, 0.4, 0.8), (0.1, 0.5, 0.2), (0.05, 1.0, 0.5)]
)
def test_time_that_the_host_took_is_no_idleness(cpu: float, steal: float, wanted: float) -> None:
    """A server at the limit of its CPU would look idle on a machine that is robbed of half of it."""
    assert replace(GOOD, server_cpu=cpu, steal=steal).cores_wanted == pytest.approx(wanted)


DATABASE = "127.0.0.1:5432"


@pytest.mark.parametrize(
    ("seen", "stops_at", "words"),
    [
        (ServerSeen(1, 0.97, 60, 40, 12.0), StopsAt.CPU, "CPU: 97% of a core a worker"),
        (ServerSeen(1, 0.5, 60, 40, 12.0), StopsAt.CPU, "CPU"),
        # A pool of 5, each with a connection to the upstream, or asleep.
        (ServerSeen(1, 0.1, 60, 5, 5.0), StopsAt.THREADS, "all of its 5 threads are taken and 55 more requests wait"),
        (ServerSeen(1, 0.1, 60, 40, 40.0, {"10.0.0.1:80": 40}), StopsAt.THREADS, "40 threads"),
        # Threads that wait for our own bridge have more connections than there are threads.
        (ServerSeen(1, 0.1, 60, 40, 1.0, {"10.0.0.1:80": 400}), StopsAt.THREADS, "40 threads"),
        # Two workers with ten threads each.
        (ServerSeen(2, 0.1, 60, 10, 10.0), StopsAt.THREADS, "10 threads are taken and 20 more requests wait"),
        # A pool of two connections, for which forty threads wait: on each other.
        (
            ServerSeen(1, 0.1, 60, 40, 2.0, {DATABASE: 2}),
            StopsAt.CONNECTIONS,
            f"2 connections to {DATABASE}, while 40 threads",
        ),
        (ServerSeen(1, 0.1, 60, 0, 0.0, {DATABASE: 2}), StopsAt.CONNECTIONS, "while 60 requests want one"),
        (ServerSeen(1, 0.1, 60, 0, 0.0, {DATABASE: 1}), StopsAt.CONNECTIONS, "1 connection to"),
        # As many connections as requests: what is behind them is slow.
        (ServerSeen(1, 0.1, 60, 0, 0.0, {"10.0.0.1:80": 60}), StopsAt.BEHIND, "upstream, or a pool inside the app"),
        (ServerSeen(1, 0.1, 60, 0, 0.0), StopsAt.INSIDE, "a lock, a sleep, or a pool"),
    ],
)
def test_what_an_arm_stops_at(seen: ServerSeen, stops_at: StopsAt, words: str) -> None:
    found = bottleneck_of(seen)
    assert found.stop is stops_at
    assert words in found.why


SURE = Ratio(1.02, 1.0, 1.04)
CPU = Bottleneck(StopsAt.CPU, "CPU: 97% of a core a worker")
THREADS = Bottleneck(StopsAt.THREADS, "thread pool: all of its 40 threads are taken")
POOL = Bottleneck(StopsAt.CONNECTIONS, "connection pool: 2 connections to 127.0.0.1:5432")
SLOW, QUICK = Capacity(209.0, 217.0), Capacity(800.0, 832.0)


@pytest.mark.parametrize(
    ("found", "word", "words"),
    [
        (Compared(None), Word.NOTHING, "too few pairs"),
        (Compared(SURE), Word.NO_GAIN, "1.02x"),
        (Compared(Ratio(1.24, 1.22, 1.26)), Word.NO_GAIN, "1.24x"),
        (Compared(Ratio(3.5, 3.45, 3.55)), Word.GAIN, "3.50x less CPU a request"),
        # So wide that nothing could be said of 1.0; of 3.5 it can.
        (Compared(Ratio(3.5, 3.3, 3.7)), Word.GAIN, "3.50x"),
        (Compared(Ratio(1.3, 1.1, 1.5)), Word.NOTHING, "not known to +-3%"),
        (Compared(Ratio(1.0, 0.9, 1.1)), Word.NOTHING, "not known to +-3%"),
        (Compared(Ratio(0.8, 0.7, 0.9)), Word.SLOWER, "1.25x the CPU of the control"),
        (Compared(Ratio(0.98, 0.96, 0.999)), Word.NO_GAIN, "0.98x"),
        # The colour is the gain: the control stops at its threads, with the same CPU.
        (
            Compared(SURE, (SLOW, QUICK), 0.0003, (THREADS, CPU)),
            Word.GAIN,
            "3.83x the rate: the control stops at thread pool",
        ),
        # Which it is however little is known of the CPU.
        (Compared(Ratio(1.0, 0.9, 1.1), (SLOW, QUICK), 0.0003, (THREADS, CPU)), Word.GAIN, "3.83x the rate"),
        (Compared(SURE, (SLOW, QUICK), 0.05, (THREADS, CPU)), Word.NO_GAIN, "1.02x"),
        (Compared(SURE, (SLOW, QUICK), None, (THREADS, CPU)), Word.NO_GAIN, "1.02x"),
        (Compared(Ratio(0.8, 0.79, 0.81), (SLOW, QUICK), 0.0003, (THREADS, CPU)), Word.GAIN, "3.83x the rate"),
        (Compared(SURE, (SLOW, SLOW), 0.0003, (THREADS, CPU)), Word.NO_GAIN, "1.02x"),
        # Less CPU, but a pool that both have.
        (
            Compared(Ratio(2.0, 1.98, 2.02), (SLOW, SLOW), None, (CPU, POOL)),
            Word.NO_GAIN,
            "it stops at connection pool",
        ),
        (Compared(Ratio(2.0, 1.98, 2.02), (SLOW, SLOW), None, (POOL, POOL)), Word.NOTHING, "not in the server"),
        (Compared(SURE, (SLOW, SLOW), None, (THREADS, THREADS)), Word.NOTHING, "40 threads"),
        (Compared(SURE, (SLOW, Capacity(209.0, None)), None, (THREADS, None)), Word.NO_GAIN, "1.02x"),
    ],
)
def test_what_is_said(found: Compared, word: Word, words: str) -> None:
    verdict = judge(found, 0.03)
    assert verdict.said is word
    assert words in verdict.why


def test_what_is_forbidden_is_not_said() -> None:
    verdict = judge(Compared(Ratio(3.5, 3.45, 3.55)), 0.03, [Obstacle("errors", "one"), Obstacle("late", "two")])
    assert verdict.said is Word.NOTHING
    assert verdict.why == "one; two"


@pytest.mark.parametrize(
    ("client", "arm", "share"), [(3.5, 3.5, 1.0), (1.0, 3.5, 0.0), (2.0, 4.0, 2 / 3), (4.0, 2.0, 1.0), (1.1, 0.9, 0.0)]
)
def test_how_much_is_the_client(client: float, arm: float, share: float) -> None:
    assert share_of_client(Ratio(client, client, client), Ratio(arm, arm, arm)) == pytest.approx(share)


@pytest.mark.parametrize(
    ("peak", "capacity", "needed"),
    [
        (10_000, Capacity(400, 415), Instances(35, 36)),
        (10_000, Capacity(113, 117), Instances(123, 127)),
        (1, Capacity(400, 415), Instances(1, 1)),
        (10_000, Capacity(400, None), None),
        (10_000, Capacity(None, 415), None),
        (10_000, Capacity(200, 400), None),
    ],
)
def test_instances(peak: float, capacity: Capacity, needed: Instances | None) -> None:
    assert instances(peak, capacity) == needed


def test_money() -> None:
    assert a_month(10, 0.17) == pytest.approx(1241.0)
    assert [str(Instances(1, 1)), str(Instances(35, 36))] == ["1", "35 to 36"]


@pytest.mark.parametrize(("text", "value"), [("0.17/h", 0.17), ("730/month", 1.0), ("24/d", 1.0), ("8760/year", 1.0)])
def test_costs(text: str, value: float) -> None:
    assert parse_cost(text) == pytest.approx(value)


@pytest.mark.parametrize(("text", "value"), [("10000/s", 10_000), ("600/min", 10), (" 0.5 / s ", 0.5)])
def test_peaks(text: str, value: float) -> None:
    assert parse_peak(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "1", "/s", "0/s", "-1/s", "1/fortnight", "nan/s", "inf/s", "1/s/s", "1e9999/s"])
def test_what_is_no_rate_or_cost(text: str) -> None:
    with pytest.raises(UsageError, match="write 10000/s"):
        parse_peak(text)
    with pytest.raises(UsageError, match=r"0\.17/h"):
        parse_cost(text)
