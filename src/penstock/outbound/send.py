"""`penstock send`: one call per input record, one record per item in the output."""

from __future__ import annotations

import filecmp
import os
import shutil
import sys
from array import array
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..engine.costs import reads_field
from ..errors import InputError, OutputError, RunRefused, UsageError
from ..rules.secrets.values import SecretValues
from ..rules.template import placeholders
from ..runs.client import RedirectPermits, knock, make_client
from ..runs.driver import Watch
from ..runs.flow import Flow, check_flow
from ..runs.journal import Journal
from ..runs.json_lines import JsonLinesOutput, drop_failed
from ..runs.opening import Fingerprint, Opening, open_run
from ..runs.origin_faults import OriginFaults
from ..runs.run_folder import RunFolder
from ..runs.secrets.compared import comparable_body, comparable_url
from ..runs.secrets.given import Given
from ..runs.secrets.known import known_secrets
from ..runs.session import Session
from .checked_file import Digests, changed, know_again, look
from .http_call import http_call
from .interpreter import Interpreter, answer_rules
from .limit_key import LimitKey
from .records import INDEX_EVERY, RecordFile, Survey
from .request_template import RequestBuilder, RequestTemplate
from .run_output import RunOutput
from .tables import TableReport

COLUMNS = ("key", "ok", "status", "attempts", "waited_ms", "service_ms", "value", "error")
"""Of an output that is a table; also there where no item has them."""

_DIGESTS = "input.digests"


@dataclass(frozen=True, slots=True)
class SendJob:
    """What `penstock send` was asked to do. `source` None is standard input.

    `out` gets one JSON record per line, or is a table where its ending says so: .csv, .parquet, .sqlite, .sqlite3, .db.
    `given` is what of it came from the environment.
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
    given: Given = field(default_factory=Given)

    def secrets(self) -> SecretValues:
        """What every request takes along, and nothing that is written may hold."""
        template = self.template
        return known_secrets(
            headers=template.headers,
            urls=(template.url, self.flow.proxy),
            bodies=(template.body,),
            given=self.given,
        )


def make_interpreter(job: SendJob) -> Interpreter:
    """What reads the answers of `job`. Raises UsageError for expressions that are none."""
    flow = job.flow
    return Interpreter(job.extract, job.expect, text=job.text, cost=flow.cost_actual, answers=answer_rules(flow))


def open_send(
    job: SendJob, reading: Callable[[int, int], None] = lambda records, bytes_read: None
) -> AbstractContextManager[SendRun]:
    """Open the run of `job`, old or new; nothing is sent yet.

    This reads the whole input of a new run and blocks meanwhile, so it belongs before the event loop;
    `reading(records, bytes)` is told how it goes on. Raises UsageError (and its kin InputError, OutputError,
    RunRefused, RunLocked) for whatever keeps the run from beginning.
    """
    check_flow(job.flow)
    out = RunOutput(job.out, otherwise="jsonl")
    make_interpreter(job)
    RequestBuilder(job.template)
    return open_run(out.folder(), lambda opening: _open(job, out, opening, reading), fresh=job.fresh)


@dataclass(slots=True)
class SendRun:
    """One run of a `SendJob`, opened and locked."""

    job: SendJob
    out: RunOutput
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
        interpret = make_interpreter(job)
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
            faults=OriginFaults(),
            given=job.given,
        )
        async with make_client(job.flow, session.redirects, session.faults) as client:
            if resumed_at < self.total:
                await knock(client, self.first_request(builder))
            return await session.carry_out(http_call(client, builder, interpret, job.secrets()), source, self.output)

    @property
    def rows(self) -> Path:
        """Where the records are kept as they come: the output itself, or what the table is made of at the end."""
        return self.out.rows(self.folder)

    def write_table(self) -> TableReport | None:
        """The output of a complete run, where that is a table; see `RunOutput.write_table`."""
        return self.out.write_table(self.folder, COLUMNS)

    def close(self) -> None:
        """Let the files go; what was not committed is dropped."""
        self.output.close()

    def first_request(self, builder: RequestBuilder) -> Any:
        """The request of the first record that makes one. Raises InputError if none does."""
        with self.records.open() as file:
            for _, item in self.records.items(file, 0, self.index, parse=True):
                try:
                    return builder.build(item.value)
                except InputError:
                    continue
        raise InputError("holds no record that a request can be made of", path=str(self.records.path))


def _open(job: SendJob, out: RunOutput, opening: Opening, reading: Callable[[int, int], None]) -> SendRun:
    folder = opening.folder
    if job.source is not None and job.out.exists() and job.source.exists() and job.out.samefile(job.source):
        raise OutputError(f"--out {job.out} is the input itself; give another --out")
    out.refuse_foreign(folder)
    if job.retry_failed and not opening.begun:
        raise UsageError(f"--retry-failed: there is no run at {folder.path} whose failed items could be done again")
    records = _records(job, _input_of(job, folder, begun=opening.begun))
    # The number of records is known from the survey and not counted again.
    known = Digests.load(folder.path / _DIGESTS) if opening.begun else None
    if opening.is_new(_fingerprint(job, records, known), later=("records",)):
        survey = _survey(job, folder, records, reading)
        known = records.digests
        with opening.begin(out.let_go, records=survey.count):
            records = _kept(job, folder, records, known)
            folder.storage.write_new(folder.path / "input.index", survey.index.tobytes())
            known.save(folder.storage, folder.path / _DIGESTS)
            out.make_files(folder)
    else:
        # The run may have begun with a file that holds the same.
        records = _kept(job, folder, records, known)
    records.trust(know_again(known, records.path, folder.path / _DIGESTS, folder.storage))
    return _reopen(job, out, folder, records)


def _reopen(job: SendJob, out: RunOutput, folder: RunFolder, records: RecordFile) -> SendRun:
    total = folder.read_fingerprint()["records"]
    index = _read_index(folder.path / "input.index", total)
    storage, rows = folder.storage, out.rows(folder)
    output = JsonLinesOutput.open(storage, rows, Journal.open(storage, folder.journal))
    if job.retry_failed and drop_failed(storage, rows, output.journal):
        output.close()
        output = JsonLinesOutput.open(storage, rows, Journal.open(storage, folder.journal))
    return SendRun(job, out, folder, records, index, total, output)


def _limit_key(job: SendJob, builder: RequestBuilder) -> LimitKey | None:
    return None if job.flow.limit_by is None else LimitKey(job.flow.limit_by, builder)


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


def _read_index(path: Path, total: int) -> array[int]:
    data = path.read_bytes() if path.exists() else b""
    index = array("Q")
    if len(data) != index.itemsize * -(-total // INDEX_EVERY):
        raise RunRefused(f"{path} is damaged: it is not the index of {total:,} records; --fresh starts afresh")
    index.frombytes(data)
    return index


def _fields_in_headers(template: RequestTemplate) -> dict[str, Any]:
    """Which fields the headers take, where they take any: runs from before they could have no such fact."""
    found = {name.lower(): sorted(placeholders(value)) for name, value in template.headers if placeholders(value)}
    return {"--header fields": found} if found else {}


def _fingerprint(job: SendJob, records: RecordFile, known: Digests | None) -> Fingerprint:
    template = job.template
    facts = {
        "command": "send",
        "input": records.fingerprint() | changed(records.path, known),
        "--method": template.method.upper(),
        "--header names": sorted(name.lower() for name, _ in template.headers),
        **_fields_in_headers(template),
        "--key": job.key,
        "--extract": job.extract,
        "--expect": job.expect,
        "--answer": "text" if job.text else "json",
        "--idempotency-key": template.idempotency_key,
        "--on-bad-record": "skip" if job.skip_bad_records else "fail",
    }
    typed = job.given.typed
    # The URL and the body may hold keys of an API.
    return facts, {
        "--url": comparable_url(typed.get("--url", template.url)),
        "--body": comparable_body(typed.get("--body", template.body or "")),
    }


# -- standard input -------------------------------------------------------------------------------------------------


_KEPT = "stdin"
_PART = "stdin.part"


def _records(job: SendJob, path: Path) -> RecordFile:
    return RecordFile(path, format=job.format or ("jsonl" if job.source is None else None), key=job.key)


def _kept(job: SendJob, folder: RunFolder, records: RecordFile, known: Digests | None) -> RecordFile:
    """The same records, where the run finds them again: what was piped in is the input of the run now."""
    if records.path != folder.path / _PART:
        return records
    folder.storage.replace(records.path, folder.path / _KEPT)
    if known is not None:
        known.seen = look(folder.path / _KEPT)
    return _records(job, folder.path / _KEPT)


def _input_of(job: SendJob, folder: RunFolder, *, begun: bool) -> Path:
    """The input file. Standard input is first copied into the run folder: a run must be able to read it again."""
    if job.source is not None:
        if not job.source.exists():
            raise InputError("there is no such file", path=str(job.source))
        return job.source
    kept, part = folder.path / _KEPT, folder.path / _PART
    if sys.stdin.isatty():
        if begun and kept.exists():
            return kept
        raise UsageError("INPUT is -, but standard input is a terminal; pipe the records in")
    with part.open("wb") as target:
        shutil.copyfileobj(sys.stdin.buffer, target, 1 << 20)
        target.flush()
        os.fsync(target.fileno())
    if begun and kept.exists():
        # The same command without its pipe goes on with what it was given the first time.
        if part.stat().st_size and not filecmp.cmp(kept, part, shallow=False):
            raise RunRefused(
                "standard input differs from what this run began with; pipe in the same, or nothing at all, to go on; "
                "--fresh starts afresh",
                differs=("input",),
            )
        part.unlink()
        return kept
    if folder.begun():
        # A run may still need its own: what was piped in now is not of that run, and may yet turn out to be bad.
        return part
    folder.storage.replace(part, kept)
    return kept
