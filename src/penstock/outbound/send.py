"""`penstock send`: one call per input record, one record per item in the output."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..engine.costs import reads_field
from ..errors import InputError, OutputError, RunRefused, UsageError
from ..limits.limiter import RateLimiter
from ..runs.client import RedirectPermits, knock, make_client
from ..runs.driver import Watcher
from ..runs.flow import Flow, check_flow
from ..runs.journal import Journal
from ..runs.json_lines import JsonLinesOutput, drop_failed
from ..runs.run_folder import RunFolder
from ..runs.session import Session
from ..runs.storage import DISK
from .http_call import HttpCall
from .interpreter import Interpreter
from .limit_key import LimitKey
from .records import INDEX_EVERY, RecordFile, Survey
from .request_template import RequestBuilder, RequestTemplate
from .tables import TableReport, finish_table, require, table_format

COLUMNS = ("key", "ok", "status", "attempts", "waited_ms", "service_ms", "value", "error")
"""Of an output that is a table; also there where no item has them."""

Watch = Callable[[int | None, RateLimiter], tuple[Watcher, ...]]


@dataclass(frozen=True, slots=True)
class SendJob:
    """What `penstock send` was asked to do. `source` None is standard input.

    `out` gets one JSON record per line, or is a table where its ending says so: .csv, .parquet, .sqlite, .sqlite3, .db.
    """

    source: Path | None
    out: Path
    template: RequestTemplate
    flow: Flow = field(default_factory=Flow)
    key: str | None = None
    format: str | None = None
    extract: str | None = None
    expect: str | None = None
    text: bool = False
    skip_bad_records: bool = False
    retry_failed: bool = False
    fresh: bool = False


@contextlib.contextmanager
def open_send(
    job: SendJob, reading: Callable[[int, int], None] = lambda records, bytes_read: None
) -> Iterator[SendRun]:
    """Open the run of `job`, old or new; nothing is sent yet.

    This reads the whole input of a new run and blocks meanwhile, so it belongs before the event loop;
    `reading(records, bytes)` is told how it goes on. Raises UsageError (and its kin InputError, OutputError,
    RunRefused, RunLocked) for whatever keeps the run from beginning.
    """
    check_flow(job.flow)
    require(_format_of(job))
    Interpreter(job.extract, job.expect, text=job.text, cost=job.flow.cost_actual)
    RequestBuilder(job.template)
    with RunFolder.open(_folder_of(job.out)) as folder:
        try:
            run = _open(job, folder, reading)
        except OSError as error:
            raise OutputError(
                f"{error.filename or folder.path}: {error.strerror or error}; nothing was sent"
            ) from error
        try:
            yield run
        finally:
            run.output.close()


@dataclass(slots=True)
class SendRun:
    """One run of a `SendJob`, opened and locked."""

    job: SendJob
    folder: RunFolder
    records: RecordFile
    index: array[int]
    total: int
    output: JsonLinesOutput

    async def carry_out(self, watch: Watch = lambda total, limiter: ()) -> dict[str, Any]:
        """Send until all is done or stopped; returns the summary, `summary["complete"]` says which.

        Raises UsageError if the host cannot be reached, StorageError where the disk fails in the middle.
        """
        job, folder = self.job, self.folder
        done = self.output.done
        resumed_at = done.count
        builder = RequestBuilder(job.template, folder.run_id())
        interpret = Interpreter(job.extract, job.expect, text=job.text, cost=job.flow.cost_actual)
        # Records with a problem of their own must be seen as such, so they are parsed unless all were found good.
        by_key = _limit_key(job, builder)
        parse = builder.parse or job.skip_bad_records or reads_field(job.flow.cost)
        parse = parse or (by_key is not None and by_key.parse)
        frozen = type(done)(done.base, bytes(done.bits))
        source = self.records.stream(self.index, frozen, done.base, parse=parse)
        session = Session(
            flow=job.flow,
            folder=folder,
            total=self.total,
            idempotent=job.template.idempotent,
            counters=self.output.saved_counters,
            resumed_at=resumed_at,
            watch=watch,
            key_of=by_key,
            one_host=builder.one_host,
            redirects=RedirectPermits(),
        )
        async with make_client(job.flow, session.redirects) as client:
            if resumed_at < self.total:
                await knock(client, self.first_request(builder))
            return await session.carry_out(HttpCall(client, builder, interpret), source, self.output)

    @property
    def rows(self) -> Path:
        """Where the records are kept as they come: the output itself, or what the table is made of at the end."""
        return _rows_of(self.job, self.folder)

    def write_table(self) -> TableReport | None:
        """Make the output of a complete run; None where it is JSON lines, and there already. Blocks.

        What was made before of the same records is left as it is. Raises StorageError where the disk fails; the
        records are safe then, and the same command tries again.
        """
        format_ = _format_of(self.job)
        if format_ == "jsonl":
            return None
        marker = _marker(self.folder)
        return finish_table(self.rows, self.job.out, format_, marker=marker, columns=COLUMNS)

    def first_request(self, builder: RequestBuilder) -> Any:
        """The request of the first record that makes one. Raises InputError if none does."""
        with self.records.path.open("rb") as file:
            for _, item in self.records.items(file, 0, self.index, parse=True):
                try:
                    return builder.build(item.value)
                except InputError:
                    continue
        raise InputError("holds no record that a request can be made of", path=str(self.records.path))


def _folder_of(out: Path) -> Path:
    if out.is_dir():
        raise OutputError(f"--out {out} is a folder; give the name of a file")
    if not out.parent.is_dir():
        raise OutputError(f"--out {out}: there is no folder {out.parent}")
    return out.with_name(out.name + ".run")


def _limit_key(job: SendJob, builder: RequestBuilder) -> LimitKey | None:
    return None if job.flow.limit_by is None else LimitKey(job.flow.limit_by, builder)


def _format_of(job: SendJob) -> str:
    return table_format(job.out, otherwise="jsonl")


def _rows_of(job: SendJob, folder: RunFolder) -> Path:
    return job.out if _format_of(job) == "jsonl" else folder.path / "rows.jsonl"


def _marker(folder: RunFolder) -> Path:
    return folder.path / "table.json"


def _open(job: SendJob, folder: RunFolder, reading: Callable[[int, int], None]) -> SendRun:
    begun = folder.begun() and not job.fresh
    _protect(job, folder, begun=begun)
    records = RecordFile(_input_of(job, folder, begun=begun), format=job.format or _stdin_format(job), key=job.key)
    facts, private = _fingerprint(job, records)
    if begun:
        try:
            folder.check_fingerprint(_known(facts, folder), private)
        except RunRefused:
            # A first try with a wrong option must not stand in the way of the second.
            if not _nothing_done(folder):
                raise
            begun = False
    if not begun:
        _begin(job, folder, records, facts, private, reading)
    return _reopen(job, folder, records)


def _protect(job: SendJob, folder: RunFolder, *, begun: bool) -> None:
    """Refuse what would cost a file that is not ours, or do twice what was only to be mended."""
    if job.source is not None and job.out.exists() and job.source.exists() and job.out.samefile(job.source):
        raise OutputError(f"--out {job.out} is the input itself; give another --out")
    ours = folder.begun() and (_format_of(job) == "jsonl" or _marker(folder).exists())
    if job.out.exists() and job.out.stat().st_size and not ours:
        raise OutputError(f"{job.out} exists and is not the output of a run; give another --out, or move it away")
    if job.retry_failed and not begun:
        raise UsageError(f"--retry-failed: there is no run at {folder.path} whose failed items could be done again")


def _nothing_done(folder: RunFolder) -> bool:
    journal = Journal.open(DISK, folder.journal)
    journal.close()
    return journal.state.done.count == 0


def _begin(
    job: SendJob,
    folder: RunFolder,
    records: RecordFile,
    facts: dict[str, Any],
    private: dict[str, str],
    reading: Callable[[int, int], None],
) -> None:
    survey = _survey(job, folder, records, reading)
    # Only now, when the new run is known to be one that can begin, what was there before goes; a table first, while
    # the run folder still tells that it is ours.
    rows = _rows_of(job, folder)
    if rows != job.out:
        job.out.unlink(missing_ok=True)
    folder.clear(keep="stdin")
    DISK.write_new(folder.path / "input.index", survey.index.tobytes())
    Journal.create(DISK, folder.journal).close()
    DISK.open(rows).close()
    # Last: with it the run counts as begun.
    folder.write_fingerprint(facts | {"records": survey.count}, private)


def _survey(job: SendJob, folder: RunFolder, records: RecordFile, reading: Callable[[int, int], None]) -> Survey:
    builder = RequestBuilder(job.template)
    by_key = _limit_key(job, builder)
    checks = [builder.check] if builder.parse or job.template.body is not None else []
    if by_key is not None and by_key.parse:
        checks.append(by_key.check)

    def check(fields: Any) -> str:
        return next(filter(None, (each(fields) for each in checks)), "")

    survey = records.survey(folder.path, check, reading, stop_at_bad=not job.skip_bad_records)
    if survey.first_bad is not None and not job.skip_bad_records:
        raise survey.first_bad
    return survey


def _reopen(job: SendJob, folder: RunFolder, records: RecordFile) -> SendRun:
    total = folder.read_fingerprint()["records"]
    index = _read_index(folder.path / "input.index", total)
    journal = Journal.open(DISK, folder.journal)
    rows = _rows_of(job, folder)
    output = JsonLinesOutput.open(DISK, rows, journal)
    if job.retry_failed and drop_failed(DISK, rows, journal):
        output.close()
        journal = Journal.open(DISK, folder.journal)
        output = JsonLinesOutput.open(DISK, rows, journal)
    return SendRun(job, folder, records, index, total, output)


def _read_index(path: Path, total: int) -> array[int]:
    data = path.read_bytes() if path.exists() else b""
    index = array("Q")
    if len(data) != index.itemsize * -(-total // INDEX_EVERY):
        raise RunRefused(f"{path} is damaged: it is not the index of {total:,} records; --fresh starts afresh")
    index.frombytes(data)
    return index


def _fingerprint(job: SendJob, records: RecordFile) -> tuple[dict[str, Any], dict[str, str]]:
    template = job.template
    facts = {
        "command": "send",
        "input": records.fingerprint(),
        "--method": template.method.upper(),
        "--header names": sorted(name.lower() for name, _ in template.headers),
        "--key": job.key,
        "--extract": job.extract,
        "--expect": job.expect,
        "--answer": "text" if job.text else "json",
        "--idempotency-key": template.idempotency_key,
        "--on-bad-record": "skip" if job.skip_bad_records else "fail",
    }
    # The URL and the body may hold keys of an API.
    return facts, {"--url": template.url, "--body": template.body or ""}


def _known(facts: dict[str, Any], folder: RunFolder) -> dict[str, Any]:
    """The number of records is known from the survey and not counted again."""
    return facts | {"records": folder.read_fingerprint().get("records")}


# -- standard input -------------------------------------------------------------------------------------------------


def _stdin_format(job: SendJob) -> str | None:
    return "jsonl" if job.source is None else None


def _input_of(job: SendJob, folder: RunFolder, *, begun: bool) -> Path:
    """The input file. Standard input is first copied into the run folder: a run must be able to read it again."""
    if job.source is not None:
        if not job.source.exists():
            raise InputError("there is no such file", path=str(job.source))
        return job.source
    kept = folder.path / "stdin"
    if sys.stdin.isatty():
        if begun and kept.exists():
            return kept
        raise UsageError("INPUT is -, but standard input is a terminal; pipe the records in")
    fresh = folder.path / "stdin.part"
    with fresh.open("wb") as target:
        shutil.copyfileobj(sys.stdin.buffer, target, 1 << 20)
        target.flush()
        os.fsync(target.fileno())
    if begun and kept.exists():
        if fresh.stat().st_size == 0:
            # The same command without its pipe goes on with what it was given the first time.
            return kept
        _must_equal(kept, fresh)
    DISK.replace(fresh, kept)
    return kept


def _must_equal(kept: Path, fresh: Path) -> None:
    with kept.open("rb") as one, fresh.open("rb") as other:
        while True:
            block, again = one.read(1 << 20), other.read(1 << 20)
            if block != again:
                raise RunRefused(
                    "standard input differs from what this run began with; pipe in the same, or nothing at all, to go "
                    "on; --fresh starts afresh",
                    differs=("input",),
                )
            if not block:
                return
