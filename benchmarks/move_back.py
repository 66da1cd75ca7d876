"""How soon an arm that turns bad has no share any more, and how often one that is as good as the control loses it."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from penstock.rules.moving.judge import ArmSeen, judge
from penstock.rules.moving.state import BackLimits

from .move_back_load import trial
from .processes import scratch
from .report import Report

KINDS = ("fails", "raises", "sleeps", "blocks", "never returns")
SHARES = ("50%", "100%")
WORKERS = (1, 2, 4)
MOST_SECONDS = 2.0
WINDOWS = 10_000
MOST_FALSE = 1
STAGES, LOOKS = 500, 600


def main(arguments: list[str]) -> bool:
    """Run and report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks move_back", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two workers and half of the requests alone")
    parser.add_argument("--chance", action="store_true", help="no servers: only what chance does to equal arms")
    parser.add_argument("--load", action="store_true", help="only the servers")
    options = parser.parse_args(arguments)
    report = Report("move_back", "python -m benchmarks move_back")
    if not options.load:
        equal_arms(report)
    if not options.chance:
        bad_arms(report, SHARES[:1] if options.quick else SHARES, WORKERS[1:2] if options.quick else WORKERS)
    return report.finish()


def bad_arms(report: Report, shares: tuple[str, ...], workers: tuple[int, ...]) -> None:
    """Real servers, and a load that does not wait for answers."""
    rows, found = [], []
    for kind in KINDS:
        for share in shares:
            for count in workers:
                with scratch() as folder:
                    one = asyncio.run(trial(folder, kind, share=share, workers=count))
                found.append(one)
                rows.append([kind, share, count, _seconds(one.seconds), _seconds(one.since_bad), one.reason])
                print(*rows[-1], flush=True)
    header = ["the arm", "share", "workers", "s from the first bad answer", "s from when it turned bad", "reason"]
    report.table("An arm turns bad at 200 requests a second; `penstock move roll` has ended", header, rows)
    worst = max((one.seconds for one in found if one.seconds is not None), default=float("inf"))
    missed = sum(one.seconds is None for one in found)
    report.goal(
        "worst, from the first bad answer to share 0",
        f"at most {MOST_SECONDS} s",
        f"{worst:.2f} s",
        worst <= MOST_SECONDS,
    )
    report.goal("not taken back, or while it was good", "0", missed, missed == 0)


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


# -- equal arms -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Sorted:
    """Durations in ascending order."""

    all: Any

    @property
    def count(self) -> int:
        """How many."""
        return len(self.all)

    def quantile(self, share: float) -> float | None:
        """By rank."""
        return float(self.all[max(0, -int(-len(self.all) * share // 1) - 1)]) if len(self.all) else None

    def slower_than(self, seconds: float) -> int:
        """How many."""
        return len(self.all) - int(self.all.searchsorted(seconds, "right"))


def equal_arms(report: Report) -> None:
    """Windows of both arms drawn from the same service."""
    import numpy as np

    rng = np.random.default_rng(20)
    rows, worst = [], 0
    for name, draw in _services(rng):
        for share in (0.02, 0.1, 0.5, 0.95):
            for size in (300, 3000):
                false = sum(_is_taken_back(rng, draw, size, share) for _ in range(WINDOWS))
                worst = max(worst, false)
                rows.append([name, f"{share:.0%}", size, false])
    report.table(
        f"Equal arms: taken back in how many of {WINDOWS:,} windows",
        ["durations", "share", "requests", "of them"],
        rows,
    )
    report.goal(f"worst of {len(rows)} kinds of windows", f"at most {MOST_FALSE}", worst, worst <= MOST_FALSE)
    ended = sum(_ends_early(rng) for _ in range(STAGES))
    report.note(
        f"Stages of ten minutes at 100 requests a second to each arm, 1 % errors in both, judged {LOOKS} times over "
        f"all that was seen so far and over the last window: {ended} of {STAGES} were taken back."
    )


def _services(rng: Any) -> Iterator[tuple[str, Any]]:
    import numpy as np

    yield "lognormal, sigma 1", lambda count: rng.lognormal(-4.0, 1.0, count)
    yield "2 % twenty times as slow", lambda count: 0.01 * np.where(rng.random(count) < 0.02, 20.0, 1.0)
    yield "Pareto, alpha 1.5", lambda count: 0.005 * (1 + rng.pareto(1.5, count))


def _is_taken_back(rng: Any, draw: Any, size: int, share: float) -> bool:
    error_rate = float(rng.choice([0.0, 0.001, 0.02, 0.3]))
    control, arm = (_seen(rng, draw(round(size * part)), error_rate) for part in (1 - share, share))
    return judge(control, arm, BackLimits()) is not None


def _seen(rng: Any, durations: Any, error_rate: float) -> ArmSeen:
    durations.sort()
    return ArmSeen(_Sorted(durations), int(rng.binomial(len(durations), error_rate)))


def _ends_early(rng: Any) -> bool:
    """One stage: errors alone, for durations of ten minutes would take hours to draw and sort."""
    import numpy as np

    empty = np.zeros(100 * LOOKS)
    errors = rng.binomial(100, 0.01, (2, LOOKS)).cumsum(axis=1)
    for look in range(10, LOOKS):
        for first in (0, look - 10):
            count = (look - first) * 100
            control, arm = (
                ArmSeen(_Sorted(empty[:count]), int(errors[each][look - 1] - (errors[each][first - 1] if first else 0)))
                for each in (0, 1)
            )
            if judge(control, arm, BackLimits()) is not None:
                return True
    return False
