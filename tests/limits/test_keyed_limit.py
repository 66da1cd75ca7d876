"""Limits for each key: exact for all of them, none waits for another, and memory is bounded."""

from __future__ import annotations

import heapq

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock import UsageError
from penstock.limits.keyed_limit import KeyedLimiter
from penstock.rules.limits.probe import PROBE_SECONDS
from penstock.testing import most_in_any_window


def send_all(
    limiter: KeyedLimiter, items: list[tuple[float, str]], late: float = 0.0, connect: float = 0.0
) -> dict[str, list[float]]:
    """Send (time, key) items, each when it comes or as soon as it may; the times of the sends of each key.

    Whoever is told to come back does so `late` seconds after that time, and whoever has his turn sends `connect`
    seconds after it.
    """
    sends: dict[str, list[float]] = {key: [] for _, key in items}
    queue = [(time, number, key, "comes") for number, (time, key) in enumerate(items)]
    heapq.heapify(queue)
    while queue:
        now, number, key, state = heapq.heappop(queue)
        if state == "has his turn":
            when = limiter.take(key, now)
            if when <= now:
                sends[key].append(now)
                continue
        else:
            when = limiter.turn(key, now, waited=state == "waited")
            state = "waited" if when > now else "has his turn"
        heapq.heappush(queue, (when + (late if when > now else connect), number, key, state))
    return sends


def ask(limiter: KeyedLimiter, key: str, now: float, *, waited: bool = True) -> float:
    """When `key` may send: `now` if it does, having had its turn."""
    when = limiter.turn(key, now, waited=waited)
    return when if when > now else limiter.take(key, now)


@given(
    st.lists(st.tuples(st.floats(0, 5), st.sampled_from("abc")), max_size=150),
    st.sampled_from([0.0, 0.003, 0.3]),
    st.sampled_from([0.0, 0.004, 0.7]),
    st.sampled_from([2, 100]),
)
def test_every_key_keeps_every_limit(
    items: list[tuple[float, str]], late: float, connect: float, most_keys: int
) -> None:
    """Whoever comes whenever, late or not, however long connecting takes: limits are kept, and all are sent."""
    limiter = KeyedLimiter(["5/s", "20/7s"], guard=0.0, most_keys=most_keys)
    sends = send_all(limiter, items, late, connect)
    assert sum(map(len, sends.values())) == len(items)
    for times in sends.values():
        assert most_in_any_window(times, 1.0) <= 5
        assert most_in_any_window(times, 7.0) <= 20
    assert len(limiter) <= most_keys


def test_keys_do_not_wait_for_each_other() -> None:
    """A key with a thousand items does not delay the one of another key, nor does it lose rate."""
    limiter = KeyedLimiter(["10/s"], guard=0.0)
    sends = send_all(limiter, [(0.0, "many")] * 1000 + [(0.5, "one")])
    assert sends["one"] == [0.5]
    assert sends["many"][-1] == pytest.approx(99.9, abs=0.01)


def test_a_refusal_pauses_its_key_alone_and_ends_with_one_call() -> None:
    """Others go on; at the end of the pause one goes, and the next when that was answered."""
    limiter = KeyedLimiter(["10/s"], guard=0.0)
    limiter.throttled("a", 5.0, 0.0, 0.5)
    assert limiter.paused_until("a") == 5.0
    assert ask(limiter, "b", 0.0, waited=False) == 0.0
    assert ask(limiter, "a", 1.0) == 5.0
    assert ask(limiter, "a", 5.0) == 5.0
    assert ask(limiter, "a", 6.0) == 5.0 + PROBE_SECONDS
    limiter.answered("a", 4.0)
    assert ask(limiter, "a", 6.0) > 6.0
    limiter.answered("a", 5.0)
    assert ask(limiter, "a", 6.0) == 6.0


def test_refusals_without_a_time_back_off_by_episodes() -> None:
    """Those in flight together are one episode; a good answer ends the row."""
    limiter = KeyedLimiter(["10/s"])
    pauses = []
    now = 0.0
    for _ in range(3):
        limiter.throttled("a", None, now, 0.999)
        limiter.throttled("a", None, now, 0.999)
        pauses.append(limiter.paused_until("a") - now)
        now = limiter.paused_until("a") + 1.0
    assert pauses[1] > 1.5 * pauses[0]
    assert pauses[2] > 1.5 * pauses[1]
    limiter.answered("a", good=True)
    limiter.throttled("a", None, now, 0.999)
    assert limiter.paused_until("a") - now == pytest.approx(pauses[0])


def test_after_a_restart_every_key_counts_as_used_up() -> None:
    """For one window nothing goes, whichever key it is; then each has its own limit."""
    limiter = KeyedLimiter(["10/s"], guard=0.0)
    limiter.count_as_used_up(100.0)
    sends = send_all(limiter, [(100.0, "a"), (100.0, "b"), (105.0, "c")])
    assert sends == {"a": [101.0], "b": [101.0], "c": [105.0]}


def test_a_key_beyond_the_bound_waits_until_another_can_be_forgotten() -> None:
    """Memory is bounded, and no key is forgotten while its sends count."""
    limiter = KeyedLimiter(["1/s"], guard=0.0, most_keys=2)
    sends = send_all(limiter, [(0.0, "a"), (0.1, "b"), (0.2, "c"), (0.3, "a")])
    assert (sends["a"][0], sends["b"]) == (0.0, [0.1])
    # Whichever of the two is forgotten first, at the end of its second.
    assert 1.0 <= min(sends["a"][1], sends["c"][0]) <= 1.1
    assert 1.1 <= max(sends["a"][1], sends["c"][0]) <= 2.1
    assert len(limiter) <= 2


@pytest.mark.parametrize("limits", [[], ["nonsense"], ["10/s@shared"]])
def test_limits_that_cannot_be_kept_by_key_are_refused(limits: list[str]) -> None:
    """No limit at all, one that cannot be read, or one that is shared by name."""
    with pytest.raises(UsageError):
        KeyedLimiter(limits)
    with pytest.raises(UsageError):
        KeyedLimiter(["10/s"], guard=-1.0)


def test_sends_that_are_remembered_count() -> None:
    """What a process before this one sent for a key holds back that key, and no other."""
    limiter = KeyedLimiter(["2/s"], guard=0.0)
    limiter.remember("a", 9.3)
    limiter.remember("a", 9.9)
    assert ask(limiter, "a", 10.0, waited=False) == 10.4
    assert ask(limiter, "b", 10.0, waited=False) == 10.0


def test_one_that_is_paused_for_an_hour_does_not_keep_new_keys_out() -> None:
    """The bound on keys is reached, and the one used least lately cannot be forgotten: others can."""
    limiter = KeyedLimiter(["1/s"], guard=0.0, most_keys=3)
    for key in ("paused", "a", "b"):
        assert ask(limiter, key, 0.0, waited=False) == 0.0
    limiter.pause_until("paused", 3600.0)
    assert ask(limiter, "new", 10.0, waited=False) == 10.0
    assert limiter.paused_until("paused") == 3600.0
