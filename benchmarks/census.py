"""The census of a large file at full speed: ten planted corruptions, faults of every kind, and a kill near the end."""

from __future__ import annotations

import bisect
import json
import random
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .processes import CLIENT_CORE, PENSTOCK, Child, Ended, scratch
from .report import Report, megabytes
from .servers import FaultProcess, fault_server

DIM = 128
TARGET = "/search"
SEED = 7
PASSING: tuple[str, ...] = ("429", "500", "503", "503_retry_after", "hang", "reset", "close", "slow_body", "truncated")
PASSING += ("garbage_json", "html")
SHARE = 0.02
LASTING = {"502": 1e-4, "404": 1e-4}
"""On every attempt, so these must be what the census says has failed; other statuses than those that pass."""
KIND_OF = {"502": "http_5xx", "404": "http_4xx"}
KILL_AT = 0.98


def plan() -> Any:
    """The faults, as the server plays them."""
    from penstock.testing import FaultPlan

    rates = {kind: SHARE / len(PASSING) for kind in PASSING}
    return FaultPlan(SEED, rates, LASTING, retry_after=0.0, slow_body_seconds=0.2)


def _options() -> list[str]:
    rates = [f"--fault={kind}={SHARE / len(PASSING)!r}" for kind in PASSING]
    lasting = [f"--lasting={kind}={share!r}" for kind, share in LASTING.items()]
    return [*rates, *lasting, "--seed", str(SEED), "--retry-after", "0", "--slow-body-seconds", "0.2"]


def predict(vectors: Path, count: int) -> tuple[Counter[str], set[int], Counter[str]]:
    """(failures by kind, their rows, passing faults by kind), computed from the file and the plan alone."""
    import numpy as np

    from penstock.outbound.vectors.bodies import BodyTemplate
    from penstock.testing import item_identity

    faults, template = plan(), BodyTemplate()
    failed: Counter[str] = Counter()
    passing: Counter[str] = Counter()
    rows: set[int] = set()
    target = TARGET.encode()
    with vectors.open("rb") as file:
        row = 0
        while block := file.read(4 * DIM * 4096):
            for body in template.block(np.frombuffer(block, dtype=np.float32).reshape(-1, DIM), row):
                identity = item_identity(target, body)
                kind = faults.fault_for(identity, 1)
                if kind is not None and faults.lasts(identity):
                    failed[KIND_OF[kind]] += 1
                    rows.add(row)
                elif kind is not None:
                    passing[kind] += 1
                row += 1
    assert row == count
    return failed, rows, passing


def plant(count: int, avoid: set[int]) -> dict[int, str]:
    """Each kind of corruption once, anywhere but where the call itself is to fail."""
    from penstock.testing import PLANTS

    rng = random.Random(SEED)
    rows = [row for row in rng.sample(range(count), min(count, 200)) if row not in avoid]
    return dict(zip(rows, PLANTS, strict=False))


def measure(report: Report, count: int) -> None:
    """Make the file, take the census, kill it near the end, judge."""
    from penstock.testing import write_vectors

    with scratch() as folder:
        vectors = folder / "vectors.bin"
        write_vectors(vectors, count, DIM, seed=SEED)
        print(f"{count:,} vectors written; predicting the faults of each", flush=True)
        failed, failing_rows, passing = predict(vectors, count)
        planted = plant(count, failing_rows)
        (folder / "plant.json").write_text(json.dumps(planted))
        oracle: list[str | Path] = ["--oracle", vectors, "--dim", str(DIM), "--plant", folder / "plant.json"]
        with fault_server(folder, *oracle, *_options(), start_timeout=120 + count / 2e4) as server:
            out = folder / "census"
            argv: list[str | Path] = [*PENSTOCK]
            argv += ["check", vectors, "--dim", str(DIM), "--url", server.url + TARGET, "--out", out]
            argv += ["--id", "id", "--in-flight", "256", "--attempt-timeout", "2s", "--second-look", "0", "--json"]
            killed, resumed, began, peaks = _killed_and_resumed(argv, server, folder, count)
            counters = server.end()
            first_sends = _first_after(server.arrivals(), began)
        _judge(report, count, resumed, out, planted, failed, passing, counters)
        _resume(report, count, killed, began, first_sends, peaks, resumed)


def _killed_and_resumed(
    argv: Sequence[str | Path], server: FaultProcess, folder: Path, count: int
) -> tuple[float, Ended, float, list[int]]:
    limit = 600 + count / 1e3
    peaks = []
    with Child(argv, core=CLIENT_CORE, folder=folder, name="census-1") as child:
        shown = 0.0
        while (answered := server.statistics()["answered"]) < KILL_AT * count:
            ended = child.poll()
            if ended is not None:
                raise RuntimeError(f"it ended before the kill, {ended.code}: {ended.stderr[-1500:]}")
            if time.monotonic() - child.began > limit:
                raise TimeoutError(f"only {answered:,} of {count:,} after {limit:.0f} s")
            if time.monotonic() - shown > 30:
                shown = time.monotonic()
                print(f"{answered:,} of {count:,} answered", flush=True)
            time.sleep(0.1)
        child.poll()
        peaks.append(_peak(child))
        first = child.kill() - child.began
    with Child(argv, core=CLIENT_CORE, folder=folder, name="census-2") as child:
        ended = child.wait(limit)
        peaks.append(ended.peak_rss)
        return first, ended, child.began, peaks


def _peak(child: Child) -> int:
    for line in Path(f"/proc/{child.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def _first_after(times: Sequence[float], moment: float) -> float:
    place = bisect.bisect_left(times, moment)
    return times[place] - moment if place < len(times) else float("inf")


def _judge(
    report: Report,
    count: int,
    ended: Ended,
    out: Path,
    planted: dict[int, str],
    failed: Counter[str],
    passing: Counter[str],
    counters: dict[str, Any],
) -> None:
    from penstock.testing import PLANTS

    summary = ended.json()
    findings = [json.loads(line) for line in (out / "findings.jsonl").read_text().splitlines()]
    found = {each["position"]: each["verdict"] for each in findings if each["verdict"] != "FAILED"}
    wanted = {row: PLANTS[kind].with_ids.name for row, kind in planted.items()}
    rows = [
        (kind, row, wanted[row], found.get(row, "not found"), "yes" if found.get(row) == wanted[row] else "**NO**")
        for row, kind in planted.items()
    ]
    report.table(f"Planted among {count:,} vectors", ("planted", "row", "must be", "found", "right"), rows)
    number = len(wanted)
    caught = len(found.keys() & wanted.keys())
    right = sum(found.get(row) == verdict for row, verdict in wanted.items())
    report.goal("planted corruptions found", f"{number} of {number}", caught, caught == number)
    report.goal("found with the verdict that is meant", f"{number} of {number}", right, right == number)
    false = sorted(found.keys() - wanted.keys())
    report.goal("false alarms", "0", f"{len(false)} {[(row, found[row]) for row in false[:5]] or ''}", not false)
    kinds = sorted({*passing, *counters["injected"]})
    report.table(
        "Faults: computed from plan and file, and injected by the server (more where the kill had calls repeated)",
        ("fault", "items it must hit", "times injected"),
        [(kind, _expected(kind, failed, passing), f"{counters['injected'].get(kind, 0):,}") for kind in kinds],
    )
    same = summary["by_kind"] == dict(failed)
    report.goal("failures by kind", f"{dict(failed)}", f"{summary['by_kind']}", same)
    rate = summary["success_rate"]
    report.goal("success before --retry-failed, 2 % faults", "at least 99.95 %", f"{rate:.4%}", rate >= 0.9995)
    report.goal("all vectors have a finding", f"{count:,}", f"{summary['items']:,}", summary["items"] == count)


def _expected(kind: str, failed: Counter[str], passing: Counter[str]) -> str:
    lasting = KIND_OF.get(kind)
    return f"{passing[kind]:,}" if lasting is None else f"{failed[lasting]:,} (every attempt)"


def _resume(
    report: Report, count: int, first: float, began: float, resumed_after: float, peaks: list[int], ended: Ended
) -> None:
    summary = ended.json()
    report.table(
        f"The run: killed at {KILL_AT:.0%}, started again",
        ("vectors", "seconds to the kill", "calls/s", "resumed at", "first send after", "peak MB before, after"),
        [
            (
                f"{count:,}",
                f"{first:,.0f}",
                f"{KILL_AT * count / first:,.0f}",
                f"{summary['resumed']:,}",
                f"{resumed_after:.2f} s",
                " and ".join(megabytes(peak) for peak in peaks),
            )
        ],
    )
    report.goal(f"resume at {count:,}", "within 2 s", f"{resumed_after:.2f} s", resumed_after <= 2.0)
    report.goal("peak memory of the census", "at most 60 MB", f"{megabytes(max(peaks))} MB", max(peaks) <= 60e6)
