"""What the demo of arms says: a line a second, the table of both routes, and the verdict on the roll-out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import click

from ...migrate.bench.report import BenchReport
from .move_load import MoveTally
from .stage import Check, judge, tell

_BACK_WITHIN = 2.0
_UNDER_WAY = 0.5
"""Requests that were in the arm when its share became 0 end there."""


@dataclass(frozen=True, slots=True)
class Rolled:
    """What came of the roll-out. `code` is what the command ended with, `back_at` a moment of the load's clock."""

    tally: MoveTally
    code: int
    failed_before: int
    """Of the requests, before the defect was planted."""
    back_at: float | None


def line_of(tally: MoveTally, span: float) -> str:
    """One line of the live view, of the last `span` seconds."""
    parts = [f"  {tally.requests / span:5.0f} requests/s"]
    for arm, served in sorted(tally.by_arm.items(), reverse=True):
        worst = tally.times[arm].quantile(0.99)
        parts.append(f"{arm} {served / span:.0f}/s, p99 {(worst or 0.0) * 1000:.0f} ms")
    if tally.failed:
        parts.append(f"{tally.failed:,} answered with 500")
    if tally.lost:
        parts.append(f"{tally.lost.total():,} without an answer")
    return "   ".join(parts)


def report(reports: Sequence[BenchReport], rolled: Rolled) -> bool:
    """Say what was measured and what holds; whether all does."""
    fine = judge(_checks(rolled), evidence="what each client got")
    tell("\n4. What each arm costs, and what an instance of one worker takes:")
    for each in reports:
        tell("")
        for line in each.lines():
            # Not folded: most of them are a table.
            click.echo(f"  {line}".rstrip(), err=True)
    tell(f"\n{_of_the_computing_one(reports[-1])}")
    return fine


def _checks(rolled: Rolled) -> list[Check]:
    tally = rolled.tally
    took = None
    if rolled.back_at is not None:
        took = max(0.0, rolled.back_at - (tally.first_failed or rolled.back_at))
    late = 0.0
    if rolled.back_at is not None and tally.last_failed is not None:
        late = max(0.0, tally.last_failed - rolled.back_at)
    lost = tally.lost.total()
    return [
        Check("every request was answered, through all shares", f"{lost:,} of {tally.requests:,} were not", not lost),
        Check("1 %, 50 % and 100 % were held", "", rolled.code == 0),
        Check("nothing failed while they were", f"{rolled.failed_before:,} did", not rolled.failed_before),
        Check(
            "the arm that failed was taken back by the workers within 2 s",
            "it was not" if took is None else f"{took:.1f} s, {tally.failed:,} answers of 500",
            took is not None and took <= _BACK_WITHIN,
            of_time=True,
        ),
        Check("nothing failed after that", f"the last {late:.1f} s later", late <= _UNDER_WAY, of_time=True),
    ]


def _of_the_computing_one(report: BenchReport) -> str:
    verdict = report.verdict("async")
    return (
        f"{report.route} computes and waits for nothing, so async cannot help it; the bench says: "
        f"{verdict.said.value}. It stays as it is."
    )
