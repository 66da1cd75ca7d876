"""Read a run's folder as far as it can be read: of any version, running, killed or finished, damaged in places."""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from ..errors import UsageError
from ..observe.histogram import BUCKETS, COARSE_BUCKETS
from ..runs.journal import committed

_TAIL_BYTES = 1 << 18


@dataclass(frozen=True, slots=True)
class Sample:
    """One line of `series.jsonl`. Counters are of the whole run; what older versions did not write is None or empty."""

    at: float
    elapsed: float
    items: int
    ok: int
    failed: int
    attempts: int
    retries: int
    throttled: int
    hedges: int
    unasked: Mapping[str, int]
    died: Mapping[str, int]
    by_kind: Mapping[str, int]
    in_flight: int
    in_flight_range: tuple[int, int]
    ceiling: int | None
    limits: tuple[str, ...]
    """Those of the user, and `told`, those of the server."""
    told: tuple[str, ...]
    paused: float
    paused_until: float
    outage_since: float | None
    outage_reason: str
    parked: int
    service_ms: Mapping[str, float]
    recent_ms: Mapping[str, float]
    buckets: Mapping[int, int]
    service_buckets: Mapping[int, int]
    """The last sample of a session has those of the run so far, as fine as they are."""
    total: int | None = None
    rows: int | None = None
    rows_promised: int | None = None


@dataclass(frozen=True, slots=True)
class SessionLine:
    """One session as `sessions.jsonl` tells it. `how` is empty while there is no second line."""

    at: float
    version: str
    pid: int | None
    command: tuple[str, ...]
    limits: tuple[str, ...]
    total: int | None
    resumed_at: int
    max_outage: float | None = None
    """Seconds after which it gives a host up that is down."""
    how: str = ""
    message: str = ""
    summary: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunRecord:
    """All that is known of a run. `damaged` says for each file how much of it could not be read."""

    out: Path
    folder: Path
    running: bool
    pid: int | None
    facts: Mapping[str, Any]
    sessions: tuple[SessionLine, ...]
    samples: tuple[Sample, ...]
    slowest: tuple[Mapping[str, Any], ...]
    failed: Mapping[str, tuple[Mapping[str, Any], ...]]
    summary: Mapping[str, Any]
    damaged: Mapping[str, int]
    committed: Mapping[str, Any] = field(default_factory=dict)
    """Counters as of the last commit, where no process works on it; of send and pull, which have a journal."""

    @property
    def total(self) -> int | None:
        """How many items there are, where that is known."""
        if self.samples and self.samples[-1].total is not None:
            return self.samples[-1].total
        for session in reversed(self.sessions):
            if session.total is not None:
                return session.total
        records = self.facts.get("records")
        return records if isinstance(records, int) else None

    @property
    def command(self) -> str:
        """`send`, `pull`, `check`, or empty."""
        return str(self.facts.get("command") or "")


def folder_of(path: Path) -> Path:
    """The run folder of an output, or `path` itself if it is one. Raises UsageError where there is none."""
    beside = path.with_name(path.name + ".run")
    for folder in (beside, path):
        if folder.is_dir() and any((folder / name).exists() for name in ("series.jsonl", "run.json")):
            return folder
    if path.is_dir() or path.exists():
        raise UsageError(f"{path} is not the output of a run: there is neither {beside} nor a run in it")
    raise UsageError(f"there is no run at {path}; give the --out of a penstock send, pull or check, or its run folder")


def load_run(path: Path, *, tail: bool = False) -> RunRecord:
    """Read the run that belongs to `path`; with `tail` only the last samples. Raises UsageError if there is none."""
    folder = folder_of(path)
    damaged: dict[str, int] = {}
    try:
        sessions = tuple(_sessions(_lines(folder / "sessions.jsonl", damaged)))
        lines = _lines(folder / "series.jsonl", damaged, last_bytes=_TAIL_BYTES if tail else None)
        samples = tuple(_samples(lines, damaged))
        examples = _object(folder / "examples.json", damaged)
        facts = _object(folder / "run.json", damaged).get("facts")
        summary = _object(folder / "summary.json", damaged)
        committed_counters = _committed(folder / "journal")
    except OSError as error:
        raise UsageError(f"{error.filename or folder}: {error.strerror or error}") from error
    if not summary:
        # The end of the last session that has one; later sessions that were killed add nothing to it.
        summary = next((dict(each.summary) for each in reversed(sessions) if each.summary), {})
    running, pid = is_running(folder)
    return RunRecord(
        out=folder.with_name(folder.name.removesuffix(".run")) if folder.name.endswith(".run") else folder,
        folder=folder,
        running=running,
        pid=pid,
        facts=facts if isinstance(facts, dict) else {},
        sessions=sessions,
        samples=samples,
        slowest=_examples(examples.get("slowest")),
        failed=_failed(examples.get("failed")),
        summary=summary,
        damaged=damaged,
        committed={} if running else committed_counters,
    )


def is_running(folder: Path) -> tuple[bool, int | None]:
    """Whether a process works on the run, and which. Asks for a shared lock, never waits, and lets go at once."""
    try:
        fd = os.open(folder / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False, None
    try:
        pid = os.read(fd, 32).decode("ascii", "replace").strip()
        number = int(pid) if pid.isdigit() else None
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True, number
        return False, number
    finally:
        os.close(fd)


def _committed(path: Path) -> dict[str, Any]:
    state = committed(path)
    if state is None:
        return {}
    done = state.done
    return {**state.counters, "items": done.count, "ok": done.count - done.failed_count, "failed": done.failed_count}


# -- files that may be damaged ----------------------------------------------------------------------------------------


def _lines(path: Path, damaged: dict[str, int], last_bytes: int | None = None) -> Iterator[dict[str, Any]]:
    """The objects in a file of JSON lines; a line that is none is counted, but for one that is still being written."""
    if not path.exists():
        return
    with path.open("rb") as file:
        if last_bytes is not None and path.stat().st_size > last_bytes:
            file.seek(-last_bytes, os.SEEK_END)
            file.readline()
        for line in file:
            with contextlib.suppress(orjson.JSONDecodeError):
                value = orjson.loads(line)
                if isinstance(value, dict):
                    yield value
                    continue
            if line.endswith(b"\n") and line.strip():
                damaged[path.name] = damaged.get(path.name, 0) + 1


def _object(path: Path, damaged: dict[str, int]) -> dict[str, Any]:
    if not path.exists():
        return {}
    with contextlib.suppress(orjson.JSONDecodeError):
        value = orjson.loads(path.read_bytes())
        if isinstance(value, dict):
            return value
    damaged[path.name] = damaged.get(path.name, 0) + 1
    return {}


def _samples(lines: Iterator[dict[str, Any]], damaged: dict[str, int]) -> Iterator[Sample]:
    for line in lines:
        if _number(line.get("at")) is None or _number(line.get("attempts")) is None:
            damaged["series.jsonl"] = damaged.get("series.jsonl", 0) + 1
        else:
            yield _sample(line)


def _sample(line: Mapping[str, Any]) -> Sample:
    def whole(name: str) -> int:
        return int(_number(line.get(name)) or 0)

    def known(name: str) -> int | None:
        found = _number(line.get(name))
        return None if found is None else int(found)

    in_flight = whole("in_flight")
    low_high = line.get("in_flight_range")
    pair = low_high if isinstance(low_high, list) and len(low_high) == 2 else [in_flight, in_flight]
    told = _limits(line.get("limits_told"))
    return Sample(
        at=_number(line.get("at")) or 0.0,
        elapsed=_number(line.get("elapsed")) or 0.0,
        items=whole("items"),
        ok=whole("ok"),
        failed=whole("failed"),
        attempts=whole("attempts"),
        retries=whole("retries"),
        throttled=whole("throttled"),
        hedges=whole("hedges"),
        unasked={origin: int(value) for origin, value in _numbers(line.get("unasked")).items()},
        died={origin: int(value) for origin, value in _numbers(line.get("died")).items()},
        by_kind={kind: int(value) for kind, value in _numbers(line.get("by_kind")).items()},
        in_flight=in_flight,
        in_flight_range=(int(_number(pair[0]) or 0), int(_number(pair[1]) or 0)),
        ceiling=known("in_flight_ceiling"),
        limits=tuple(dict.fromkeys((*_limits(line.get("limits")), *told))),
        told=told,
        paused=_number(line.get("paused_s")) or 0.0,
        paused_until=_number(line.get("paused_until")) or 0.0,
        outage_since=_number(line.get("outage_since")),
        outage_reason=str(line.get("outage_reason") or ""),
        parked=whole("parked"),
        service_ms=_numbers(line.get("service_ms")),
        recent_ms=_numbers(line.get("recent_ms")),
        buckets=dict(_buckets(_numbers(line.get("recent_buckets")), COARSE_BUCKETS)),
        service_buckets=dict(_buckets(_numbers(line.get("service_buckets")), BUCKETS)),
        total=known("total"),
        rows=known("rows"),
        rows_promised=known("rows_promised"),
    )


def _buckets(counts: Mapping[str, float], most: int) -> Iterator[tuple[int, int]]:
    for index, found in counts.items():
        if index.isdecimal() and int(index) < most and found >= 1:
            yield int(index), int(found)


def _sessions(lines: Iterator[dict[str, Any]]) -> Iterator[SessionLine]:
    begun: dict[str, Any] | None = None
    for line in lines:
        if _number(line.get("at")) is None:
            continue
        if line.get("event") == "begin":
            if begun is not None:
                yield _session(begun, {})
            begun = line
        elif begun is not None:
            yield _session(begun, line)
            begun = None
    if begun is not None:
        yield _session(begun, {})


def _session(begin: Mapping[str, Any], end: Mapping[str, Any]) -> SessionLine:
    total, pid = _number(begin.get("total")), _number(begin.get("pid"))
    summary, command, limits = end.get("summary"), begin.get("command"), begin.get("limits")
    return SessionLine(
        at=_number(begin.get("at")) or 0.0,
        version=str(begin.get("version") or ""),
        pid=int(pid) if pid is not None else None,
        command=tuple(str(each) for each in command) if isinstance(command, list) else (),
        limits=_limits(limits),
        total=int(total) if total is not None else None,
        resumed_at=int(_number(begin.get("resumed_at")) or 0),
        max_outage=_number(begin.get("max_outage_s")),
        how=str(end.get("how") or ""),
        message=str(end.get("message") or ""),
        summary=summary if isinstance(summary, dict) else {},
    )


def _limits(value: Any) -> tuple[str, ...]:
    """As typed: without the name that a run of several processes gives to a limit of its own."""
    return tuple(str(each).partition("@run-")[0] for each in value) if isinstance(value, list) else ()


def _failed(value: Any) -> dict[str, tuple[Mapping[str, Any], ...]]:
    if not isinstance(value, dict):
        return {}
    found = {}
    for kind, some in value.items():
        if isinstance(some, dict):
            found[str(kind)] = _examples(some.get("first")) + _examples(some.get("last"))
    return found


def _examples(value: Any) -> tuple[Mapping[str, Any], ...]:
    return tuple(each for each in value if isinstance(each, dict)) if isinstance(value, list) else ()


def _numbers(value: Any) -> dict[str, float]:
    if not isinstance(value, dict):
        return {}
    return {str(name): found for name, each in value.items() if (found := _number(each)) is not None}


def _number(value: Any) -> float | None:
    """A finite number of a size that can be drawn, or None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return value if math.isfinite(value) and abs(value) < 1e15 else None
