"""What a census comes to: its summary, and a list of every vector that was not found as it should be."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import orjson

from ...rules.census.finding import RIGHT, Finding
from ...rules.census.wilson import Interval
from ...runs.storage import Storage
from .fields import CELL, KIND_NAMES, NO_ID
from .scoreboard import Scoreboard
from .summary import Percentiles, Summary, Worst

_WORST_SHOWN = 10
_RIGHT = frozenset({int(each) for each in RIGHT} | {int(Finding.NOT_DONE)})


def census_summary(session: dict[str, Any], figures: Summary, total: int) -> dict[str, Any]:
    """The summary of the session, with all that concerns outcomes taken from a fresh scan of the scoreboard."""
    failed = figures.findings[Finding.FAILED]
    answered = figures.answered
    verdicts = {finding.name: count for finding, count in figures.findings.items() if finding is not Finding.NOT_DONE}
    return session | {
        "items": answered + failed,
        "ok": answered,
        "failed": failed,
        "by_kind": figures.by_kind,
        # After a kill the counters are some seconds old; what the scoreboard knows of is the least there was.
        "attempts": max(session["attempts"], figures.attempts),
        "retries": max(session["retries"], figures.attempts - answered - failed),
        "accuracy": figures.accuracy,
        "accuracy_interval": _interval(figures.accuracy_interval),
        "success_rate": figures.success_rate,
        "success_interval": _interval(figures.success_interval),
        "avg_similarity": figures.mean_similarity,
        "verdicts": verdicts,
        "not_right": sum(count for name, count in verdicts.items() if Finding[name] not in RIGHT),
        "worst": [_worst(each) for each in figures.worst[:_WORST_SHOWN]],
        "service_ms": _milliseconds(figures.done_latency),
        "total": total,
    }


def _interval(interval: Interval) -> list[float]:
    return [round(interval.low, 8), round(interval.high, 8)]


def _milliseconds(latency: Percentiles) -> dict[str, float | None]:
    values = {"p50": latency.p50, "p95": latency.p95, "p99": latency.p99, "max": latency.max}
    return {name: None if value is None else round(value * 1e3, 3) for name, value in values.items()}


def _worst(each: Worst) -> dict[str, Any]:
    return {
        "position": each.position,
        "similarity": each.similarity,
        "verdict": each.finding.name,
        "hit": each.hit_position,
    }


def write_findings(scoreboard: Scoreboard, path: Path, storage: Storage) -> int:
    """One JSON line for every vector that is not SELF or TIE_DUP; returns their number. Blocks."""
    part = path.with_name(path.name + ".part")
    file = storage.open(part)
    written = 0
    try:
        file.truncate(0)
        for first, block in scoreboard.records():
            lines = [_line(first + at, block[16 * at : 16 * at + 16]) for at in _not_right(block)]
            if lines:
                file.append(b"".join(lines))
                written += len(lines)
        file.sync()
    finally:
        file.close()
    storage.replace(part, path)
    return written


def _not_right(block: bytes) -> list[int]:
    findings = block[12::16]
    if not findings.translate(None, bytes(_RIGHT)):
        return []
    return [at for at, finding in enumerate(findings) if finding not in _RIGHT]


def _line(position: int, record: bytes) -> bytes:
    similarity, latency_us, hit, finding, attempts, status = CELL.unpack(record)
    failed = finding == Finding.FAILED
    line = {
        "position": position,
        "verdict": Finding(finding).name,
        "similarity": similarity if math.isfinite(similarity) and not failed else None,
        "hit": None if failed or hit == NO_ID else hit,
        "kind": KIND_NAMES.get(hit, "unknown") if failed else None,
        "status": status or None,
        "attempts": attempts,
        "service_ms": latency_us / 1e3,
    }
    return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)
