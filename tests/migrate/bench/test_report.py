"""What is printed, and which exit code it comes to."""

from __future__ import annotations

from dataclasses import replace

import pytest

from penstock.migrate.bench.comparison import Measured
from penstock.migrate.bench.cores import Placing, place
from penstock.migrate.bench.report import BenchReport
from penstock.rules.moving.bottleneck import Bottleneck, StopsAt
from penstock.rules.moving.capacity import Capacity
from penstock.rules.moving.refusals import Obstacle
from penstock.rules.moving.slices import Slice


def measured(**cpu: float) -> Measured:
    """Ten blocks without noise; what each arm needs for a request, in seconds."""
    blocks = [dict(cpu) for _ in range(12)]
    pairs = [
        Slice(arm, 100, 1, 100, 100, 0, server_cpu=each * 100, p50=0.01, p99=0.02, body_bytes=1000)
        for arm, each in cpu.items()
        for _ in range(24)
    ]
    return Measured(rate=100, blocks=list(blocks), pairs=pairs)


def report(found: Measured, *arms: str, **more: object) -> BenchReport:
    return replace(BenchReport("GET /q", 0.1, 0.03, ["control", *arms], found), **more)  # type: ignore[arg-type]


THREE = measured(control=0.007, client=0.001, **{"async": 0.0008})


def test_three_rows_and_who_brings_the_gain() -> None:
    lines = report(THREE, "client", "async").lines()
    rows = [line for line in lines if line.startswith(("control", "async", "arm"))][:4]
    assert [row.split("  ")[0] for row in rows] == ["arm", "control", "control, new client", "async"]
    text = "\n".join(lines)
    assert "a better client is most of it: 97% of the CPU that async saves is saved by the new client alone" in text
    assert "async on top of it is 1.25x" in text


@pytest.mark.parametrize(
    ("arms", "missing", "rows"),
    [
        (["async"], [], ["control, new client  not measured"]),
        (["async"], ["client"], ["control, new client  not measured"]),
        (["client"], ["async"], ["async                not measured"]),
    ],
)
def test_a_row_that_is_not_there_says_so(arms: list[str], missing: list[str], rows: list[str]) -> None:
    lines = report(THREE, *arms, missing=missing).lines()
    for row in rows:
        assert row in lines


@pytest.mark.parametrize(
    ("cpu", "code", "word"),
    [(0.001, 0, "gain"), (0.007, 0, "no gain"), (0.02, 1, "slower")],
)
def test_exit_codes(cpu: float, code: int, word: str) -> None:
    found = report(measured(control=0.007, **{"async": cpu}), "async")
    assert found.exit_code() == code
    assert found.as_json()["exit_code"] == code
    assert found.as_json()["arms"]["async"]["verdict"] == word
    assert found.as_json()["arms"]["client"] == {"measured": False}


@pytest.mark.parametrize(
    ("found", "more", "words"),
    [
        (
            Measured(refused=Obstacle("target", "no rate keeps it: one request alone takes 300 ms")),
            {},
            "alone takes 300 ms",
        ),
        (Measured(), {}, "too few pairs"),
        (THREE, {"spoilt": Obstacle("late", "the client was late")}, "the client was late"),
        (THREE, {"spreads": {"async": 0.2}}, "the pairs of arm 'async' disagree"),
        (
            replace(THREE, pairs=[replace(each, failed=50, why_failed={"HTTP 500": 50}) for each in THREE.pairs]),
            {},
            "errors in the control: 1200 of 2400",
        ),
        (
            replace(THREE, pairs=[replace(e, statuses={200 if e.arm == "control" else 204: 9}) for e in THREE.pairs]),
            {},
            "arm 'async' does something else: it answers HTTP 204 (100%)",
        ),
        (
            replace(THREE, singles=[replace(each, other_cpu=each.server_cpu) for each in THREE.pairs]),
            {},
            "the servers work on after they have answered: 50% of their CPU",
        ),
    ],
)
def test_a_refusal_says_why(found: Measured, more: dict[str, object], words: str) -> None:
    made = report(found, "async", **more)
    assert made.exit_code() == 2
    assert any(line.startswith("async: nothing can be said: ") and words in line for line in made.lines())


def test_what_the_host_took_is_told_and_a_neighbour_is_another_thing() -> None:
    pairs = [replace(each, steal=0.3, client_steal=0.2, neighbours=0.05) for each in THREE.pairs]
    made = report(replace(THREE, pairs=pairs), "async")
    assert made.verdict("async").said.value == "gain"
    assert any("took 30% of the time in which the server's cores had work (steal)" in line for line in made.lines())
    said = made.as_json()
    arm = said["arms"]["async"]
    assert [arm[name]["median"] for name in ("steal", "client_steal", "neighbours")] == [0.3, 0.2, 0.05]
    assert [arm[name]["most"] for name in ("steal", "client_steal", "neighbours")] == [0.3, 0.2, 0.05]
    assert not any("(steal)" in line for line in report(THREE, "async").lines())
    assert report(Measured(), "async").as_json()["arms"]["async"]["steal"] is None


def test_instances_and_money() -> None:
    found = replace(
        THREE,
        capacities={"control": Capacity(113, 117), "client": Capacity(700, 727), "async": Capacity(800, 832)},
        limits={"control": Bottleneck(StopsAt.CPU, "CPU: 97% of a core a worker")},
    )
    lines = report(found, "client", "async", peak=10_000.0, cost=0.17).lines()
    text = "\n".join(lines)
    assert "control stops at CPU: 97% of a core a worker" in lines
    assert "control 123 to 127 instances, control, new client 20 to 21 instances, async 18 instances" in text
    assert "async: 13,031 to 13,527 a month less" in text
    none = report(THREE, "async", peak=10_000.0).lines()
    assert any("instances for 10,000/s: not known" in line for line in none)
    assert not any("instances" in line for line in report(found, "async").lines())


def test_answers_of_another_length_are_told_of() -> None:
    pairs = [replace(each, body_bytes=10) if each.arm == "async" else each for each in THREE.pairs]
    made = report(replace(THREE, pairs=pairs), "async")
    lines = made.lines()
    assert "its answers have" in made.as_json()["arms"]["async"]["warning"]
    assert "async: warning: its answers have 0 bytes, those of the control 10; is it the same work?" in lines


@pytest.mark.parametrize(
    ("workers", "cores", "server", "client"),
    [
        (1, [0], (0,), (0,)),
        (1, [0, 1], (1,), (0,)),
        (4, [0, 1], (1,), (0,)),
        (2, [0, 1, 2, 3], (2, 3), (0, 1)),
        (4, [0, 1, 2, 3], (1, 2, 3), (0,)),
    ],
)
def test_who_runs_where(workers: int, cores: list[int], server: tuple[int, ...], client: tuple[int, ...]) -> None:
    found = place(workers, cores)
    assert found == Placing(server, client)
    assert found.is_apart is (len(cores) > 1)
