"""The log of sends under limits for each key: two processes one after the other keep them as one would."""

from __future__ import annotations

import math
import os
from collections import defaultdict
from pathlib import Path

import pytest

from penstock.limits import cell_map
from penstock.limits.key_log import KeyLog
from penstock.limits.keyed_limit import KeyedLimiter
from penstock.limits.limit_log import LimitLog, take_over
from penstock.rules.limits.rate import Limit
from penstock.testing import ManualClock, most_in_any_window


def session(folder: Path, clock: ManualClock, keys: str, *, most_sends: int = 64) -> dict[str, list[float]]:
    """A process that sends for `keys`, one letter each, as soon as it may, and is killed; the times."""
    limiter = KeyedLimiter(["3/s", "10/10s"], guard=0.0)
    log = KeyLog(folder, limiter, most_sends=most_sends, clock=clock)
    sends: dict[str, list[float]] = defaultdict(list)
    for key in keys:
        while (when := limiter.turn(ord(key), clock.now(), waited=True)) > clock.now():
            clock.advance(when - clock.now())
        assert limiter.take(ord(key), clock.now()) == clock.now()
        sends[key].append(clock.now())
    assert log is not None
    return sends


@pytest.mark.parametrize("most_sends", [64, 7])
def test_the_log_knows_each_key_after_a_kill(tmp_path: Path, most_sends: int) -> None:
    """Also when the ring has come round, and what is not in it any more may still count."""
    clock = ManualClock(start=1000.0)
    all_sends: dict[str, list[float]] = defaultdict(list)
    for keys in ("aaab", "ab", "", "bbbaaaa", "caaabbb", "c" * 15 + "ab"):
        for key, times in session(tmp_path, clock, keys, most_sends=most_sends).items():
            all_sends[key] += times
    for times in all_sends.values():
        assert most_in_any_window(times, 1.0) <= 3
        assert most_in_any_window(times, 10.0) <= 10


def test_a_new_key_does_not_wait_after_a_restart(tmp_path: Path) -> None:
    """What others have sent is known to be theirs."""
    clock = ManualClock(start=1000.0)
    session(tmp_path, clock, "aaaaaa")
    began = clock.now()
    assert session(tmp_path, clock, "b")["b"] == [began]


def test_a_pause_outlives_the_process(tmp_path: Path) -> None:
    """A Retry-After is not shortened by a kill."""
    clock = ManualClock(start=1000.0)
    limiter = KeyedLimiter(["10/s"])
    KeyLog(tmp_path, limiter, clock=clock)
    limiter.throttled(7, 300.0, clock.now(), 0.5)
    clock.advance(20.0)
    for _ in range(2):
        again = KeyedLimiter(["10/s"])
        KeyLog(tmp_path, again, clock=clock)
        assert (again.paused_until(7), again.paused_until(8)) == (1300.0, -math.inf)


def test_no_number_of_sends_pushes_out_a_pause(tmp_path: Path) -> None:
    """They are kept apart."""
    clock = ManualClock(start=1000.0)
    limiter = KeyedLimiter(["10/s"])
    log = KeyLog(tmp_path, limiter, most_sends=8, clock=clock)
    limiter.throttled(7, 300.0, clock.now(), 0.5)
    for number in range(100):
        log.sent(number, clock.now())
    again = KeyedLimiter(["10/s"])
    KeyLog(tmp_path, again, most_sends=8, clock=clock)
    assert again.paused_until(7) == 1300.0


@pytest.mark.parametrize("down", [0.0, 30.0, 86_400.0])
def test_after_a_reboot_sends_count_for_a_window_and_pauses_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, down: float
) -> None:
    """The clock starts again below the times in the log; nobody waits for days because of that."""
    before = ManualClock(start=500_000.0)
    monkeypatch.setattr(cell_map, "boot_id", lambda: b"before")
    limiter = KeyedLimiter(["3/100s"], guard=0.0)
    log = KeyLog(tmp_path, limiter, clock=before)
    for _ in range(3):
        log.sent(1, before.now())
    limiter.throttled(2, 7200.0, before.now(), 0.5)
    saved = before.wall()
    for path in tmp_path.iterdir():
        os.utime(path, (saved, saved))
    monkeypatch.setattr(cell_map, "boot_id", lambda: b"after")
    after = ManualClock(start=20.0, epoch=saved + down)
    again = KeyedLimiter(["3/100s"], guard=0.0)
    KeyLog(tmp_path, again, clock=after)
    waits = again.earliest(1, after.now()) - after.now()
    assert max(0.0, 100.0 - down) <= waits <= max(0.0, 160.0 - down)
    assert again.paused_until(2) - after.now() == pytest.approx(max(0.0, 7200.0 - down) or -math.inf)


def test_what_was_sent_before_there_were_keys_is_not_forgotten_by_a_second_kill(tmp_path: Path) -> None:
    """100/h is used up; then limits by key, killed at once, and again: all keys still wait for their hour."""
    clock = ManualClock(start=10_000.0)
    limit = Limit(2, 3600.0)
    plain = LimitLog(tmp_path, [limit], 0.0, clock)
    for _ in range(2):
        clock.advance(max(0.0, plain.windows[0].earliest() - clock.now()))
        plain.windows[0].take(clock.now(), waited=True)
    sent_at = clock.now()
    for _ in range(3):
        limiter = KeyedLimiter([limit], guard=0.0)
        with take_over(tmp_path, clock) as latest:
            KeyLog(tmp_path, limiter, sent_at=latest, clock=clock)
        assert limiter.earliest(5, clock.now()) == sent_at + 3600.0
        clock.advance(60.0)
    # And back again.
    assert LimitLog(tmp_path, [limit], 0.0, clock).windows[0].earliest() >= sent_at + 1800.0
