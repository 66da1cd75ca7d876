"""The second part of the demo: a census of a faulty search API in which wrong answers are planted."""

from __future__ import annotations

from pathlib import Path

import orjson

from .stage import GUARD, Check, clear, judge, limit_checks, run_killed_half_way, server, tell, write_report

DIM = 128
PLANTED = ("deleted", "perturbed", "swapped", "nan", "empty", "deleted", "perturbed", "swapped", "deleted", "perturbed")
_FAULTS = ("500=0.01", "reset=0.004", "truncated=0.003", "garbage_json=0.003")
_SEED = 7


def take_census(out: Path, vectors: int, rate: int) -> tuple[bool, Path]:
    """Take a census, be killed, go on, and compare with what was planted. (all is well, the report)."""
    plant = _prepare(out, vectors)
    tell(
        f"Starting a search API that allows {rate}/s, judged by a sliding window, takes 20 to 200 ms an answer, and "
        f"fails now and then ({', '.join(_FAULTS)})."
    )
    with server("fault_server", *_options(out, rate)) as url:
        command = ["check", str(out / "vectors.bin"), "--dim", str(DIM), "--url", f"{url}/search", "--id", "id"]
        command += ["--out", str(out / "census"), "--limit", f"{rate}/s", "--guard", GUARD]
        code = run_killed_half_way(command, out / "census" / "series.jsonl", vectors // 2)
    return _judge(out, plant, vectors, rate, code), write_report(out / "census")


def _prepare(out: Path, vectors: int) -> dict[int, str]:
    from ...testing import write_vectors

    tell(f"2. Writing {vectors:,} vectors of {DIM} numbers, and planting {len(PLANTED)} wrong answers in the server.")
    write_vectors(out / "vectors.bin", vectors, DIM, _SEED)
    step = vectors // len(PLANTED)
    plant = {number * step + step // 2: kind for number, kind in enumerate(PLANTED)}
    (out / "plant.json").write_bytes(orjson.dumps({str(row): kind for row, kind in plant.items()}))
    for each in (out / "arrivals.bin", out / "server.json", out / "census"):
        clear(each)
    return plant


def _options(out: Path, rate: int) -> list[str]:
    options = ["--oracle", str(out / "vectors.bin"), "--dim", str(DIM), "--plant", str(out / "plant.json")]
    options += ["--limit", f"{rate}/1s", "--limiter", "sliding", "--latency", "uniform:0.02:0.2", "--seed", str(_SEED)]
    options += ["--arrivals", str(out / "arrivals.bin"), "--stats-out", str(out / "server.json")]
    return options + [part for fault in _FAULTS for part in ("--fault", fault)]


def _judge(out: Path, plant: dict[int, str], vectors: int, rate: int, code: int) -> bool:
    from ...testing import read_arrivals

    summary = orjson.loads((out / "census" / "summary.json").read_bytes())
    statistics = orjson.loads((out / "server.json").read_bytes())
    arrivals = read_arrivals(out / "arrivals.bin")
    findings = [orjson.loads(line) for line in (out / "census" / "findings.jsonl").read_bytes().splitlines()]
    wrong = {each["position"] for each in findings if each["verdict"] != "FAILED"}
    items, failed, found, false = summary["items"], summary["failed"], wrong & plant.keys(), wrong - plant.keys()
    checks = [
        Check("every vector has exactly one finding", f"{items:,} of {vectors:,} have", items == vectors),
        Check("every planted wrong answer is found", f"{len(found)} of {len(plant)} are", wrong >= plant.keys()),
        Check("there are no false alarms", f"{len(false)}", not false),
        *limit_checks(arrivals, rate, statistics["limit_violations"]),
        Check("no call failed for good", f"{failed:,} did", not failed),
        Check(
            "exit code 1, for vectors that are not found as they should be",
            f"it was {code}" if code != 1 else "",
            code == 1,
        ),
    ]
    injected = sum(statistics["injected"].values())
    return judge(checks, evidence=f"the server's own log ({len(arrivals):,} arrivals, {injected:,} faults injected)")
