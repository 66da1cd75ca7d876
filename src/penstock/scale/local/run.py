"""The parent's part: it opens nothing anew, starts the processes and drives them to the end of the run.

All processes are under one limit: where the user's has no name that others share it gets one of the run's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from ...clock import SYSTEM_CLOCK
from ...engine.engine import Engine
from ...errors import UsageError
from ...limits.limit_log import LimitLog
from ...limits.limiter import RateLimiter
from ...limits.shared_log import sweep
from ...outbound.request_template import RequestBuilder
from ...outbound.send import SendRun
from ...rules.limits.rate import Limit, Window
from ...runs.client import knock, make_client
from ...runs.driver import Driver, PendingCommit, Watch
from ...runs.examples import Examples
from ...runs.flow import Flow
from ...runs.json_lines import JsonLinesOutput
from ...runs.sessions import SessionRecord
from ...runs.summary import summarise
from .crew import Batch, Crew
from .frames import Task
from .ranges import Ranges

_PREFIX = "run-"


def check_processes(flow: Flow, processes: int) -> None:
    """Raises UsageError for what several processes cannot do together."""
    if processes < 2:
        return
    alone = {
        "--limit auto": flow.limit_auto,
        "--limit-by": flow.limit_by is not None,
        "--cost-limit": bool(flow.cost_limits),
    }
    for option, given in alone.items():
        if given:
            raise UsageError(f"{option} is kept by one process alone and cannot be combined with --processes")
    if isinstance(flow.in_flight, int) and flow.in_flight < processes:
        raise UsageError(f"--in-flight {flow.in_flight} is less than one call for each of --processes {processes}")


async def carry_out_in_processes(
    run: SendRun, processes: int, command: Sequence[str], watch: Watch = lambda total, limiter: ()
) -> dict[str, Any]:
    """As `run.carry_out`, in so many processes, each started by `command`; see Crew.

    Raises UsageError if the host cannot be reached, StorageError where the disk fails in the middle, PenstockError if
    processes keep dying.
    """
    flow, folder = run.job.flow, run.folder
    check_processes(flow, processes)
    builder = RequestBuilder(run.job.template, folder.run_id())
    if run.output.done.count < run.total:
        async with make_client(flow) as client:
            await knock(client, run.first_request(builder))
    sweep(_PREFIX, SYSTEM_CLOCK)
    shared = [_shared(limit, folder.run_id()) for limit in flow.limits]
    # Kept open as long as they work, and charged with what was sent before under a limit without a name.
    log = LimitLog(folder.path, shared, flow.guard)
    try:
        if flow.forget_pause:
            log.forget_pauses()
        return await _drive(run, builder, shared, processes, command, watch)
    finally:
        log.close()


async def _drive(
    run: SendRun, builder: RequestBuilder, shared: list[Limit], processes: int, command: Sequence[str], watch: Watch
) -> dict[str, Any]:
    flow, resumed_at, saved = run.job.flow, run.output.done.count, run.output.saved_counters
    tasks = [_task(run, builder, shared, number, processes).frame() for number in range(processes)]
    limiter = RateLimiter(
        _SeenWindow(limit, flow.guard, number, lambda: crew.used()) for number, limit in enumerate(flow.limits)
    )
    with SessionRecord(run.folder.path, limiter, set(saved.get("by_kind", ()))) as record:
        sink = _CrewSink(run.output, record.examples)
        crew = _crew(run, tasks, command, sink, limiter)
        sent_before = crew.counters.attempts
        record.begin(flow, total=run.total, resumed_at=resumed_at)
        # To a driver and its watchers a crew is an engine whose outcomes are batches of them.
        engine = cast("Engine[Any, Any]", crew)
        driver = Driver(engine, sink, (*record.watchers, *watch(run.total, limiter)))
        await driver.drive()
        summary = summarise(
            crew.counters,
            limiter,
            limits=_used(crew, flow),
            total=run.total,
            elapsed=driver.elapsed,
            sent_before=sent_before,
            resumed_at=resumed_at,
            complete=driver.complete,
        )
        summary["peak_rss_bytes"] += sum(end["peak_rss"] for end in crew.ends())
        record.end(summary)
    return summary | {"processes": processes}


def _crew(run: SendRun, tasks: Sequence[bytes], command: Sequence[str], sink: _CrewSink, limiter: RateLimiter) -> Crew:
    def paused(until: float) -> None:
        limiter.pause_until(SYSTEM_CLOCK.now() + until - SYSTEM_CLOCK.wall())

    done = run.output.done
    ranges = Ranges(run.total, type(done)(done.base, bytes(done.bits)), len(tasks))
    saved = dict(run.output.saved_counters)
    if run.job.flow.forget_pause:
        saved.update({"paused_until": 0.0} if saved else {})
    crew = Crew(command, tasks, ranges, saved, sink.put, paused)
    if crew.counters.paused_until > SYSTEM_CLOCK.wall():
        paused(crew.counters.paused_until)
    return crew


def _shared(limit: Limit, run_id: str) -> Limit:
    return limit if limit.name else replace(limit, name=f"{_PREFIX}{run_id}-{limit.count}-{limit.seconds:g}")


def _task(run: SendRun, builder: RequestBuilder, shared: list[Limit], number: int, processes: int) -> Task:
    job, in_flight = run.job, run.job.flow.in_flight
    if isinstance(in_flight, int):
        in_flight = in_flight // processes + (number < in_flight % processes)
    folder = run.folder.path / f"process-{number + 1}"
    folder.mkdir(exist_ok=True)
    for log in folder.glob("limit-*.log"):
        # Of an earlier session. What it speaks of was charged to the limits above, and must not be once more.
        log.unlink()
    return Task(
        job=job,
        # A process that is started again must not forget what another was told meanwhile.
        flow=replace(job.flow, limits=tuple(shared), in_flight=in_flight, forget_pause=False),
        source=run.records.path,
        format=run.records.format,
        index=run.index.tobytes(),
        digests=run.records.digests,
        parse=builder.parse or job.skip_bad_records,
        run_id=run.folder.run_id(),
        folder=folder,
    )


def _used(crew: Crew, flow: Flow) -> list[dict[str, Any]]:
    used = crew.used()
    if len(used) != len(flow.limits):
        return []
    return [{"limit": str(limit), "used": round(share, 4)} for limit, share in zip(flow.limits, used, strict=True)]


class _SeenWindow(Window):
    """A limit as the parent sees it: it sends nothing itself, and its processes tell how much they used."""

    __slots__ = ("_number", "_told")

    def __init__(self, limit: Limit, guard: float | None, number: int, told: Callable[[], list[float]]) -> None:
        super().__init__(limit, guard)
        self._number = number
        self._told = told

    def used(self) -> float:
        """The share of the limit that was used, as the processes last told it."""
        told = self._told()
        return told[self._number] if self._number < len(told) else 0.0


@dataclass(slots=True)
class _CrewSink:
    """A Sink for batches of finished records."""

    output: JsonLinesOutput
    examples: Examples | None

    @property
    def pending_bytes(self) -> int:
        """Of records that were taken and not written yet."""
        return self.output.pending_bytes

    @pending_bytes.setter
    def pending_bytes(self, size: int) -> None:
        self.output.pending_bytes = size

    def put(self, outcome: Any) -> None:
        """Take a Batch."""
        batch: Batch = outcome
        self.output.put_records(batch.data, batch.positions, batch.failed)
        if self.examples is not None:
            for example in batch.examples:
                self.examples.keep(example)

    def cut(self, counters: dict[str, Any]) -> PendingCommit:
        """All batches since the last cut, as one commit together with `counters`."""
        return self.output.cut(counters)
