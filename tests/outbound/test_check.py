"""`check` end to end against the fault server: what is planted and injected is what is found and counted."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import orjson
import pytest

from penstock.errors import InputError, RunRefused, UsageError
from penstock.outbound.check import CheckJob, check
from penstock.rules.census.finding import Finding
from penstock.rules.retries.verdict import RetryOn
from penstock.runs.flow import Flow
from penstock.testing import FaultPlan, FaultServer, Oracle, item_identity, write_vectors

DIM = 32
COUNT = 3000
PLANT = {
    10: "deleted",
    500: "perturbed",
    900: "swapped",
    1300: "duplicate",
    1700: "nan",
    2100: "empty",
    2500: "deleted",
    2800: "too_high",
}

pytestmark = pytest.mark.real


@pytest.fixture
def vectors(tmp_path: Path) -> Path:
    path = tmp_path / "vectors.bin"
    write_vectors(path, COUNT, DIM, 3)
    return path


def _flow(**changes: Any) -> Flow:
    return Flow(
        # Longer than the machine under the tests is ever taken away: a timeout is one that was injected.
        **{"retry_on": RetryOn.TRANSIENT, "in_flight": 16, "attempt_timeout": 3.0, **changes},
    )


def _run(job: CheckJob, server: FaultServer) -> dict[str, Any]:
    async def main() -> dict[str, Any]:
        async with server:
            return await check(
                CheckJob(**{**{name: getattr(job, name) for name in job.__slots__}, "url": f"{server.url}/search"})
            )

    return asyncio.run(main())


def _lines(out: Path) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in (out / "findings.jsonl").read_bytes().splitlines()]


def test_every_planted_corruption_is_found_and_nothing_else(vectors: Path, tmp_path: Path) -> None:
    """With ids, the positions that are not right are exactly those that were planted."""
    out = tmp_path / "census"
    oracle = Oracle(vectors, dim=DIM, plant=PLANT)
    job = CheckJob(vectors, out, "", flow=_flow(), dim=DIM, id="id")
    summary = _run(job, FaultServer(answer=oracle))

    assert {line["position"] for line in _lines(out)} == set(PLANT)
    assert summary["items"] == summary["ok"] == COUNT
    assert summary["complete"]
    assert summary["failed"] == 0
    assert summary["not_right"] == len(PLANT)
    assert summary["accuracy"] == pytest.approx((COUNT - len(PLANT)) / COUNT)
    assert summary["verdicts"]["SELF"] == COUNT - len(PLANT)
    assert summary["control"] == {"asked": 8, "found": 0}
    assert {name: count for name, count in summary["verdicts"].items() if count} == {
        finding.name: count for finding, count in oracle.predict(with_ids=True).items() if count
    }
    assert sum(summary["verdicts"].values()) == COUNT


def test_the_table_by_kind_is_what_was_injected_for_good(vectors: Path, tmp_path: Path) -> None:
    """Faults that hit every attempt of an item end as failures of exactly their kinds; passing ones leave no trace."""
    lasting = {"500": 0.01, "404": 0.01, "garbage_json": 0.01, "reset": 0.01, "truncated": 0.005, "html": 0.005}
    passing = {"503": 0.01, "reset": 0.01, "429": 0.001, "hang": 0.0004}
    plan = FaultPlan(5, rates=passing, lasting=lasting, retry_after=0.05)
    expected = _kinds_of(plan, vectors)
    out = tmp_path / "census"
    job = CheckJob(vectors, out, "", flow=_flow(max_attempts=4, total_timeout=60), dim=DIM)
    summary = _run(job, FaultServer(answer=Oracle(vectors, dim=DIM), faults=plan))

    assert summary["by_kind"] == expected
    assert summary["failed"] == sum(expected.values())
    assert summary["items"] == COUNT
    failed = [line for line in _lines(out) if line["verdict"] == "FAILED"]
    assert len(failed) == sum(expected.values())


def _kinds_of(plan: FaultPlan, vectors: Path) -> dict[str, int]:
    from penstock.outbound.vectors.bodies import BodyTemplate
    from penstock.outbound.vectors.formats import open_vectors

    kind_of = {
        "500": "http_5xx",
        "404": "http_4xx",
        "garbage_json": "bad_body",
        "html": "bad_body",
        "reset": "reset",
        "truncated": "reset",
    }
    found: dict[str, int] = {}
    with open_vectors(vectors, dim=DIM) as source:
        for body in BodyTemplate().block(source.read(0, COUNT), 0):
            fault = plan.fault_for(item_identity(b"/search", body), 1_000_000)
            if fault is not None:
                found[kind_of[fault]] = found.get(kind_of[fault], 0) + 1
    return found


def test_failed_calls_are_done_again_on_request(vectors: Path, tmp_path: Path) -> None:
    """A second run with retry_failed asks only for what failed, and what was found stays."""
    out = tmp_path / "census"
    oracle = Oracle(vectors, dim=DIM)
    job = CheckJob(vectors, out, "", flow=_flow(max_attempts=1), dim=DIM)
    bad = FaultServer(answer=oracle, faults=FaultPlan(1, lasting={"500": 0.02}))

    async def main() -> tuple[dict[str, Any], dict[str, Any], int]:
        async with bad as server:
            port = server.port
            at = _at(job, f"http://127.0.0.1:{port}/search")
            first = await check(at)
        async with FaultServer(answer=oracle, port=port) as server:
            second = await check(_at(at, at.url, retry_failed=True))
            return first, second, server.statistics().requests

    first, second, requests = asyncio.run(main())
    assert first["failed"] > 10
    assert second["failed"] == 0
    assert second["items"] == COUNT
    assert requests == first["failed"]


def _at(job: CheckJob, url: str, **changes: Any) -> CheckJob:
    return CheckJob(**{**{name: getattr(job, name) for name in job.__slots__}, "url": url, **changes})


def test_a_changed_file_is_refused_on_the_same_output(vectors: Path, tmp_path: Path) -> None:
    """A census belongs to its input; the message names it."""
    out = tmp_path / "census"
    oracle = Oracle(vectors, dim=DIM)

    async def main() -> None:
        async with FaultServer(answer=oracle) as server:
            job = CheckJob(vectors, out, f"{server.url}/search", flow=_flow(), dim=DIM)
            await check(job)
            write_vectors(vectors, COUNT, DIM, 4)
            await check(job)

    with pytest.raises(RunRefused, match="input"):
        asyncio.run(main())


def test_a_server_that_finds_everything_is_told_apart(vectors: Path, tmp_path: Path) -> None:
    """Made-up vectors that come back with full similarity are counted in the summary and said."""
    said: list[str] = []

    async def main() -> dict[str, Any]:
        async with FaultServer(answer=lambda body: b'{"similarity": 1.0}') as server:
            job = CheckJob(vectors, tmp_path / "census", f"{server.url}/search", flow=_flow(), dim=DIM)
            return await check(job, say=said.append)

    summary = asyncio.run(main())
    assert summary["control"] == {"asked": 8, "found": 8}
    assert any("made-up" in text for text in said)


def test_a_server_without_the_vectors_is_refused_early(vectors: Path, tmp_path: Path) -> None:
    """If the first answers are not clear the census does not begin."""

    async def main() -> None:
        async with FaultServer(answer=lambda body: b'{"similarity": 0.4}') as server:
            await check(CheckJob(vectors, tmp_path / "c", f"{server.url}/search", flow=_flow(), dim=DIM))

    with pytest.raises(UsageError, match="first answers"):
        asyncio.run(main())


def test_a_sample_asks_for_that_many(vectors: Path, tmp_path: Path) -> None:
    """`sample` spreads over the file and counts as the whole."""
    job = CheckJob(vectors, tmp_path / "c", "", flow=_flow(), dim=DIM, sample=100)
    summary = _run(job, FaultServer(answer=Oracle(vectors, dim=DIM)))
    assert (summary["items"], summary["total"], summary["complete"]) == (100, 100, True)
    assert summary["verdicts"][Finding.SELF.name] == 100


def test_a_preset_shape_with_a_second_look(vectors: Path, tmp_path: Path) -> None:
    """Misses of rank and lost vectors are told apart by asking for more hits."""
    plant = {5: "rank_missed", 50: "rank_missed", 500: "deleted"}
    oracle = Oracle(vectors, dim=DIM, plant=plant, shape="qdrant")
    job = CheckJob(
        vectors,
        tmp_path / "c",
        "",
        flow=_flow(),
        dim=DIM,
        body='{"query": "{vector}", "limit": "{k}"}',
        similarity="result.points[0].score",
        id="result.points[0].id",
    )
    summary = _run(job, FaultServer(answer=oracle))
    look = summary["second_look"]
    assert (look["looked_at"], look["rank_miss"], look["unreachable"]) == (3, 2, 1)


def test_fresh_with_a_bad_input_costs_nothing_of_the_old_census(vectors: Path, tmp_path: Path) -> None:
    """The old findings go when the new census can begin, and not before."""
    out = tmp_path / "census"
    oracle = Oracle(vectors, dim=DIM, plant=PLANT)
    _run(CheckJob(vectors, out, "", flow=_flow(), dim=DIM, id="id"), FaultServer(answer=oracle))
    bad = tmp_path / "bad.bin"
    bad.write_bytes(vectors.read_bytes()[:-4] + b"\x00\x00\xc0\x7f")

    with pytest.raises(InputError, match="NaN"):
        _run(CheckJob(bad, out, "", flow=_flow(), dim=DIM, id="id", fresh=True), FaultServer(answer=oracle))
    assert {line["position"] for line in _lines(out)} == set(PLANT)
    assert (out / "run.json").exists()
