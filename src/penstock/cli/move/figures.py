"""What the workers tell of routes, as figures: for `status`, and for the line that `roll` shows while it holds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from ...clock import SYSTEM_CLOCK
from ...migrate.durations import CoarseDurations
from ...migrate.row import name_of
from ...migrate.worker_file import Worker
from ...migrate.worker_files import Routes, WorkerFiles, since, sum_of
from ...report.axes import duration
from ...rules.moving.share import share_text
from ...rules.moving.state import CONTROL, ArmsState, RouteState
from ...rules.moving.windows import ArmCounts

_SILENT = 2.0
"""Seconds without a heartbeat, after which a worker is said to be stopped."""


@dataclass(frozen=True, slots=True)
class ArmFigures:
    """One arm: what it did lately, and in all. Durations are seconds; None: there were no requests."""

    arm: str
    share: float | None
    requests_per_s: float
    p50_s: float | None
    p99_s: float | None
    errors: float | None
    blocked_s_per_s: float
    shed_per_s: float
    in_flight: int
    requests: int
    errors_in_all: int
    shed_in_all: int
    keyless: int
    lost: dict[str, int]


@dataclass(frozen=True, slots=True)
class RouteFigures:
    """One route with its arms, the control first. `state` is None where nobody has rolled it."""

    route: str
    state: RouteState | None
    arms: list[ArmFigures]
    told: frozenset[str] = frozenset()
    """The arms that workers have told of: none where they do not know the route."""

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        state = self.state
        known = None if state is None else {**asdict(state), "limits": asdict(state.limits)}
        return {"route": self.route, "state": known, "arms": [asdict(each) for each in self.arms]}


class Figures:
    """Differences between one look and the next."""

    def __init__(self, files: WorkerFiles) -> None:
        self._files = files
        self._then: dict[str, Routes] = {}
        self._now: dict[str, Routes] = {}
        self._span = 1.0
        self._at = SYSTEM_CLOCK.now()
        self.look()

    def look(self) -> None:
        """Once more; what is told is of the time since the look before."""
        self._files.look()
        now = SYSTEM_CLOCK.now()
        self._then, self._now = self._now, self._files.living()
        self._span, self._at = max(now - self._at, 1e-3), now

    @property
    def workers(self) -> list[Worker]:
        """Those that live."""
        return self._files.workers()

    def silent(self) -> list[Worker]:
        """Those of them that do not go on."""
        now = SYSTEM_CLOCK.now()
        return [each for each in self.workers if not -_SILENT < now - each.heartbeat < _SILENT]

    def routes(self, state: ArmsState, only: str | None = None) -> list[RouteFigures]:
        """Of all routes that are in the state or that a worker has told of."""
        ever, lately, living = self._files.ever(), since(self._now, self._then), sum_of(self._now)
        known = {name_of(name): name for name in state.routes}
        names = {known.get(row, row) for row in ever} | set(state.routes)
        return [
            _route(name, state.routes.get(name), ever, lately, living, self._span)
            for name in sorted(names)
            if only in (None, name)
        ]


async def looked_twice(figures: Figures, seconds: float) -> None:
    """Let some time go by, of which figures can be told."""
    if figures.workers:
        await SYSTEM_CLOCK.sleep(seconds)
        figures.look()


def _route(
    name: str, state: RouteState | None, ever: Routes, lately: Routes, living: Routes, span: float
) -> RouteFigures:
    row = name_of(name)
    arms = {CONTROL, *ever.get(row, ()), *([state.arm] if state is not None else [])}
    return RouteFigures(
        name,
        state,
        [
            _arm(
                arm,
                None
                if state is None
                else state.share
                if arm == state.arm
                else 1 - state.share
                if arm == CONTROL
                else 0.0,
                ever.get(row, {}).get(arm, ArmCounts()),
                lately.get(row, {}).get(arm, ArmCounts()),
                living.get(row, {}).get(arm, ArmCounts()).in_flight,
                span,
            )
            for arm in sorted(arms, key=lambda arm: (arm != CONTROL, arm))
        ],
        frozenset(ever.get(row, ())),
    )


def _arm(arm: str, share: float | None, ever: ArmCounts, lately: ArmCounts, in_flight: int, span: float) -> ArmFigures:
    durations = CoarseDurations(lately.buckets, lately.largest)
    return ArmFigures(
        arm=arm,
        share=share,
        requests_per_s=lately.ended / span,
        p50_s=durations.quantile(0.5),
        p99_s=durations.quantile(0.99),
        errors=lately.errors / lately.ended if lately.ended else None,
        blocked_s_per_s=lately.blocked / span,
        shed_per_s=lately.shed / span,
        in_flight=in_flight,
        requests=ever.ended,
        errors_in_all=ever.errors,
        shed_in_all=ever.shed,
        keyless=ever.keyless,
        lost=dict(ever.lost),
    )


def in_a_line(arms: Iterable[ArmFigures]) -> str:
    """What `roll` shows while it holds."""
    return "   ".join(
        f"{each.arm} {_rate(each.requests_per_s)} p50 {_time(each.p50_s)} p99 {_time(each.p99_s)} "
        f"errors {_percent(each.errors)}" + (f" shed {_rate(each.shed_per_s)}" if each.shed_per_s else "")
        for each in arms
    )


HEADERS = ("arm", "share", "requests", "p50", "p99", "errors", "blocked", "shed", "in flight", "no key", "lost")


def cells(arm: ArmFigures) -> list[str]:
    """A row of the table of `status`, below `HEADERS`."""
    return [
        arm.arm,
        "-" if arm.share is None else share_text(arm.share),
        _rate(arm.requests_per_s),
        _time(arm.p50_s),
        _time(arm.p99_s),
        _percent(arm.errors),
        f"{arm.blocked_s_per_s * 1e3:.0f} ms/s",
        f"{arm.shed_in_all:,}",
        f"{arm.in_flight:,}",
        f"{arm.keyless:,}",
        ", ".join(f"{name} {count:,}" for name, count in sorted(arm.lost.items())) or "0",
    ]


def _rate(rate: float) -> str:
    return f"{rate:,.0f}/s" if rate >= 10 or not rate else f"{rate:.1f}/s"


def _time(seconds: float | None) -> str:
    return "-" if seconds is None else duration(seconds)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"
