"""How much of a limit is in use: over the window of that limit, and never more than all of it."""

from __future__ import annotations

import pytest

from penstock.cli.window_use import WindowUse
from penstock.rules.limits.rate import parse_limit


@pytest.mark.parametrize(
    ("limit", "sends_a_second", "share"),
    [
        ("100/s", 98.0, 0.98),
        ("5000/h", 5000 / 3600, 1.0),
        ("5000/h", 1.6, 1.0),
        ("100/min", 0.5, 0.3),
        ("10/d", 0, 0.0),
    ],
)
def test_a_steady_pace_is_its_share_from_the_first_minute_on(limit: str, sends_a_second: float, share: float) -> None:
    """Sends that came a little early made 113 % of an hour's limit, scaled up from two seconds."""
    use = WindowUse(parse_limit(limit))
    for look in range(1, 241):
        use.measure(look / 2, int(sends_a_second * look / 2))
        assert use.share() <= 1.0
    assert use.share() == pytest.approx(share, abs=0.02)


def test_what_was_sent_before_the_window_does_not_count() -> None:
    """A burst fades when its window has passed."""
    use = WindowUse(parse_limit("100/min"))
    for second in range(200):
        use.measure(float(second), min(second, 60))
    assert use.share() == 0.0


def test_a_long_window_takes_few_samples() -> None:
    """A view looks twice a second, and a day has many seconds."""
    use = WindowUse(parse_limit("10000/d"))
    for look in range(400_000):
        use.measure(look / 2, look // 10)
    assert len(use._seen) < 500
    assert use.share() == pytest.approx(1.0, abs=0.02)
