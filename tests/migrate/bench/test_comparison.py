"""The order of a comparison, on servers that are a formula and a clock that is moved by hand."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from penstock.migrate.bench.comparison import Comparison
from penstock.migrate.bench.load_client import LoadLost, LoadSeen
from penstock.migrate.bench.report import BenchReport
from penstock.migrate.bench.stage import BenchStage
from penstock.observe.histogram import Histogram
from penstock.rules.moving.bottleneck import Bottleneck, StopsAt
from penstock.rules.moving.slices import Slice
from penstock.testing import ManualClock

CPU = Bottleneck(StopsAt.CPU, "CPU: 97% of a core a worker")
THREADS = Bottleneck(StopsAt.THREADS, "thread pool: all of its 40 threads are taken")
UNSEEN = Bottleneck(StopsAt.UNKNOWN, "something that was not seen")
POOL = Bottleneck(StopsAt.CONNECTIONS, "connection pool: 2 connections to 10.0.0.1:5432")


@dataclass
class Server:
    """What an arm is like."""

    cpu: float
    """Seconds a request."""
    most: float
    """Requests a second."""
    takes: float = 0.01
    stops_at: Bottleneck = CPU
    fails: float = 0.0


@dataclass
class FormulaStage:
    """In the place of real servers; `neighbour`: how often a slice has one."""

    servers: dict[str, Server]
    noise: float = 0.01
    neighbour: float = 0.0
    late: float = 0.0
    steal: tuple[float, float] = (0.0, 0.0)
    """Between these the host takes of the time with work; CPU a request rises by 0.4 of it, as was measured."""
    speed: float = 0.0
    """How far the core's own speed differs from one slice to the next."""
    clock: ManualClock = field(default_factory=ManualClock)
    random: random.Random = field(default_factory=lambda: random.Random(3))
    slices: list[Slice] = field(default_factory=list)

    def alone(self, arm: str, count: int) -> tuple[LoadSeen, float]:
        server = self.servers[arm]
        times = Histogram()
        for _ in range(count):
            times.add(server.takes)
        self._pass(count * server.takes)
        why = {"HTTP 500": count} if server.fails else {}
        seen = LoadSeen(count * server.takes, count, count, 0, why, "", False, Histogram(), times, 0.1, 1.0)
        return seen, server.cpu

    def slice(self, arm: str, rate: float, seconds: float) -> Slice:
        self._pass(seconds)
        self.slices.append(made := self._made(arm, rate, seconds, *self._moment()))
        return made

    def together(self, turns: Sequence[str], rate: float, seconds: float) -> list[Slice]:
        self._pass(seconds)
        moment = self._moment()
        return [self._made(arm, rate / len(self.servers), seconds, *moment) for arm in dict.fromkeys(turns)]

    def _moment(self) -> tuple[float, float]:
        """What the host takes, and how much slower the core is."""
        return self.random.uniform(*self.steal), self.random.gauss(0, self.speed)

    def _made(self, arm: str, rate: float, seconds: float, steal: float, slower: float) -> Slice:
        server = self.servers[arm]
        kept = rate <= server.most * math.exp(self.random.gauss(0, self.noise))
        count = max(1, round(rate * seconds))
        return Slice(
            arm=arm,
            rate=rate,
            seconds=seconds,
            sent=count,
            answered=count,
            failed=0,
            server_cpu=count * server.cpu * math.exp(0.4 * steal + slower + self.random.gauss(0, self.noise)),
            p50=server.takes,
            p99=server.takes * 1.5 if kept else 10.0,
            was_cut=not kept,
            late=self.late,
            steal=steal,
            neighbours=0.9 if self.random.random() < self.neighbour else 0.0,
        )

    def limit(self, arm: str, rate: float, seconds: float) -> Bottleneck:
        assert rate > self.servers[arm].most
        self._pass(seconds)
        return self.servers[arm].stops_at

    def ours(self) -> set[int]:
        return set()

    def _pass(self, seconds: float) -> None:
        self.clock.advance(seconds)


def compare(stage: FormulaStage, *, target: float = 0.1, seconds: float = 180.0) -> BenchReport:
    """All of it."""
    arms = list(stage.servers)
    made = Comparison(
        cast("BenchStage", stage),
        arms,
        target=target,
        precision=0.03,
        seconds=seconds,
        cores=1,
        say=lambda _: None,
        clock=stage.clock,
    )
    found = made.run()
    assert stage.clock.now() <= seconds * 1.1
    return BenchReport("GET /q", target, 0.03, arms, found, spoilt=made.spoilt(), spreads=made.spreads(), peak=10_000)


FAN = Server(0.007, 113, takes=0.06)
CASES: list[tuple[str, dict[str, Server], str, str, dict[str, Any]]] = [
    ("a gain in CPU", {"control": FAN, "async": Server(0.002, 400)}, "gain", "3.5", {}),
    ("none", {"control": Server(0.0011, 800), "async": Server(0.001, 820)}, "no gain", "1.1", {}),
    ("the same", {"control": FAN, "control#2": FAN}, "no gain", "1.0", {}),
    ("slower", {"control": Server(0.001, 900), "async": Server(0.002, 450)}, "slower", "it needs", {}),
    (
        "threads",
        {"control": Server(0.001, 200, stops_at=THREADS), "async": Server(0.001, 900)},
        "gain",
        "the rate: the control stops at thread pool",
        {},
    ),
    (
        "a pool that both have",
        {"control": Server(0.001, 100, stops_at=POOL), "async": Server(0.0005, 100, stops_at=POOL)},
        "nothing can be said",
        "the limit is not in the server: the control stops at connection pool",
        {},
    ),
    (
        "a limit that was not seen",
        {"control": Server(0.001, 100, stops_at=UNSEEN), "async": Server(0.001, 100, stops_at=UNSEEN)},
        "no gain",
        "1.0",
        {},
    ),
    ("slow alone", {"control": Server(0.001, 900, takes=0.3), "async": FAN}, "nothing can be said", "takes 300 ms", {}),
    ("fails", {"control": Server(0.001, 900, fails=1.0), "async": FAN}, "nothing can be said", "errors in the", {}),
    (
        "an arm fails",
        {"control": FAN, "async": Server(0.001, 900, fails=1.0)},
        "nothing can be said",
        "errors in arm 'async'",
        {},
    ),
    ("neighbours", {"control": FAN, "async": FAN}, "nothing can be said", "a neighbour was busy", {"neighbour": 0.9}),
    ("one now and then", {"control": FAN, "async": FAN}, "no gain", "1.0", {"neighbour": 0.05}),
    ("a host that takes much from all", {"control": FAN, "async": FAN}, "no gain", "1.0", {"steal": (0.35, 0.4)}),
    ("and now less, now more", {"control": FAN, "async": FAN}, "no gain", "1.0", {"steal": (0.0, 0.5)}),
    ("a gain in spite of it", {"control": FAN, "async": Server(0.002, 400)}, "gain", "3.5", {"steal": (0.2, 0.4)}),
    ("a core now quick, now slow", {"control": FAN, "async": FAN}, "no gain", "1.0", {"speed": 0.3}),
    ("a late client", {"control": FAN, "async": FAN}, "nothing can be said", "was late", {"late": 0.05}),
    ("much noise", {"control": FAN, "async": FAN}, "nothing can be said", "disagree", {"noise": 0.3}),
    ("no rate", {"control": Server(0.001, 0.01), "async": FAN}, "nothing can be said", "no rate keeps it", {}),
]


@pytest.mark.parametrize(("servers", "word", "words", "stage"), [case[1:] for case in CASES], ids=[c[0] for c in CASES])
def test_what_is_found(servers: dict[str, Server], word: str, words: str, stage: dict[str, Any]) -> None:
    """And never in more than the time there is."""
    report = compare(FormulaStage(servers, **stage))
    (arm,) = report.others
    verdict = report.verdict(arm)
    assert (verdict.said.value, words in verdict.why) == (word, True), verdict.why
    assert report.exit_code() == {"slower": 1, "nothing can be said": 2}.get(word, 0)
    assert report.lines()
    assert report.as_json()


def test_three_arms_share_blocks_and_rungs() -> None:
    stage = FormulaStage({"control": FAN, "client": Server(0.001, 800), "async": Server(0.0008, 1000)})
    report = compare(stage)
    assert [report.verdict(arm).said.value for arm in report.others] == ["gain", "gain"]
    for arm, server in stage.servers.items():
        capacity = report.found.capacities[arm]
        assert capacity.held is not None
        assert capacity.held == pytest.approx(server.most, rel=0.08)
    text = "\n".join(report.lines())
    assert "a better client is most of it: 97% of the CPU that async saves" in text
    assert "control 121" in text or "control 12" in text


@pytest.mark.parametrize("seconds", [3.0, 10.0, 30.0])
def test_too_little_time_ends_in_time(seconds: float) -> None:
    """What is known by then is said."""
    report = compare(FormulaStage({"control": FAN, "async": Server(0.002, 400)}), seconds=seconds)
    assert report.lines()
    if seconds == 3.0:
        assert report.exit_code() == 2


@pytest.mark.parametrize("after", [0, 3, 20])
def test_a_client_that_is_lost_is_a_reason(after: int) -> None:
    """At the first slice, among the pairs, in the search: nothing is said, but the report is whole."""

    class Losing(FormulaStage):
        moments = 0

        def _moment(self) -> tuple[float, float]:
            if self.moments == after:
                raise LoadLost("a process that makes the load has ended")
            self.moments += 1
            return super()._moment()

    report = compare(Losing({"control": FAN, "async": Server(0.002, 400)}))
    verdict = report.verdict("async")
    assert (verdict.said.value, verdict.why) == ("nothing can be said", "a process that makes the load has ended")
    assert report.exit_code() == 2
    assert report.lines()
    assert report.as_json()["exit_code"] == 2
