"""What the tests of the report share: run folders as a run leaves them, of any kind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

BEGAN = 1_795_000_000.0
"""Seconds since the epoch."""


def sample(elapsed: float, *, at: float | None = None, **values: Any) -> dict[str, Any]:
    """One line of the series; what is not given is as in a run at 100/s of answers within 0.3 s."""
    sent = int(100 * elapsed)
    done = max(0, sent - 30)
    return {
        "at": BEGAN + elapsed if at is None else at,
        "elapsed": elapsed,
        "items": done,
        "ok": done,
        "failed": 0,
        "by_kind": {},
        "attempts": sent,
        "retries": 0,
        "throttled": 0,
        "hedges": 0,
        "parked": 0,
        "outage_since": None,
        "in_flight": sent - done,
        "in_flight_range": [20, 40],
        "in_flight_ceiling": 64,
        "limits": ["100/s"],
        "paused_s": 0.0,
        "paused_until": 0.0,
        "service_ms": {"p50": 300.0, "p95": 400.0, "p99": 500.0, "max": 600.0},
        "recent_ms": {"p50": 300.0, "p95": 400.0, "p99": 500.0, "max": 600.0},
        "recent_buckets": {"105": 60, "108": 35, "111": 5} if elapsed else {},
        **values,
    }


def begin(at: float = BEGAN, **values: Any) -> dict[str, Any]:
    """The line of a session that begins."""
    command = ["penstock", "send", "in.jsonl", "--url", "http://127.0.0.1:8080/", "--out", "out.jsonl"]
    line = {"event": "begin", "at": at, "version": "9.9", "pid": 4711, "command": command, "limits": ["100/s"]}
    return line | {"total": 1000, "resumed_at": 0} | values


def end(at: float, how: str = "complete", **values: Any) -> dict[str, Any]:
    """The line of a session that ends."""
    return {"event": "end", "at": at, "how": how, "message": "", "summary": {}} | values


def write_lines(path: Path, lines: list[Any]) -> None:
    """One JSON value a line; bytes are written as they are."""
    path.write_bytes(b"".join(_lines(lines)))


def _lines(lines: list[Any]) -> Iterator[bytes]:
    for line in lines:
        yield line if isinstance(line, bytes) else orjson.dumps(line) + b"\n"


def make_folder(
    folder: Path,
    samples: list[Any] | None = None,
    sessions: list[Any] | None = None,
    examples: Any = None,
    facts: dict[str, Any] | None = None,
) -> Path:
    """A run folder; without anything given, of a run that is complete after ten seconds."""
    folder.mkdir(parents=True)
    (folder / "lock").write_bytes(b"4711")
    kept = {"format": 1, "salt": "s", "facts": {"command": "send", "records": 1000} | (facts or {}), "private": {}}
    (folder / "run.json").write_bytes(orjson.dumps(kept))
    if samples is None:
        last = sample(10.5, items=1000, ok=1000, attempts=1000, in_flight=0)
        samples = [*(sample(float(n)) for n in range(11)), last]
    write_lines(folder / "series.jsonl", samples)
    if sessions is None:
        sessions = [begin(), end(BEGAN + 10.5)]
    if sessions:
        write_lines(folder / "sessions.jsonl", sessions)
    if examples is not None:
        (folder / "examples.json").write_bytes(orjson.dumps(examples))
    return folder
