"""`penstock pull`: every row of a paginated API, exactly once."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson

from ..call import AnyClient
from ..errors import PenstockError, StorageError, UsageError
from ..messages import Request, Response
from ..rules.pagination.detect import DetectedPaging, detect
from ..rules.pagination.extent import StopOn
from ..rules.pagination.style import URL_STYLES, Paging
from ..rules.retries.verdict import RetryOn
from ..rules.secrets.values import SecretValues
from ..runs.client import RedirectPermits, knock, make_client
from ..runs.driver import Watch
from ..runs.flow import Flow, check_flow
from ..runs.journal import Journal
from ..runs.opening import Fingerprint, Opening, learn_fingerprint, open_run
from ..runs.origin_faults import OriginFaults
from ..runs.run_folder import RunFolder
from ..runs.secrets.compared import comparable_url
from ..runs.secrets.given import Given
from ..runs.secrets.known import known_secrets
from ..runs.session import Session
from ..runs.storage import DISK
from .interpreter import answer_rules
from .paging.chain import ChainPlan
from .paging.countable import CountablePlan
from .paging.first_page import FirstPage, Looker
from .paging.output import STATE, RowFile, RowSink
from .paging.pages import AnyPaginator, LinkHeader, Offset, PageNumber, make_paginator
from .paging.plan import PagePlan, PullTally
from .paging.reader import PageReader
from .paging.remembering import Remembering
from .paging.source import PageSource, page_call, page_headers
from .run_output import RunOutput
from .tables import TableReport

Say = Callable[[str], None]

_PAGING = "paging.json"
"""In the run folder: what was found of how the API pages."""


@dataclass(frozen=True, slots=True)
class PullJob:
    """What `penstock pull` was asked to do. `given` is what of it came from the environment."""

    url: str
    out: Path
    paging: Paging = field(default_factory=Paging)
    flow: Flow = field(default_factory=lambda: Flow(retry_on=RetryOn.SAFE))
    headers: tuple[tuple[str, str], ...] = ()
    most_pages: int | None = None
    stop_on: StopOn = StopOn.EMPTY
    key: str | None = None
    keep_repeats: bool = False
    allowed_hosts: tuple[str, ...] = ()
    fresh: bool = False
    given: Given = field(default_factory=Given)

    def secrets(self) -> SecretValues:
        """What every request takes along, and nothing that is written may hold."""
        start = self.paging.start if self.paging.style in URL_STYLES else None
        return known_secrets(headers=self.headers, urls=(self.url, start, self.flow.proxy), given=self.given)


def open_pull(job: PullJob, say: Say = lambda text: None) -> contextlib.AbstractContextManager[PullRun]:
    """Open the run of `job`, old or new; nothing is sent yet. `say` is told, in sentences, what is inferred.

    Raises UsageError (and its kin OutputError, RunRefused, RunLocked) for whatever keeps the run from beginning.
    """
    check_flow(job.flow)
    job.paging.check()
    out = RunOutput(job.out)
    # Where the style is to be found out, the expressions that were given must be some all the same.
    _reader(job, job.paging, LinkHeader() if job.paging.style == "auto" else make_paginator(job.paging))
    return open_run(out.folder(), lambda opening: _open(job, out, opening, say), fresh=job.fresh)


class PullRun:
    """One run of a `PullJob`, opened and locked."""

    def __init__(self, job: PullJob, out: RunOutput, folder: RunFolder, files: RowFile, say: Say) -> None:
        self.job = job
        self.out = out
        self.folder = folder
        self.files = files
        self.tally = PullTally()
        """What there is so far; it changes while the run goes on."""
        self._say = say
        self._redirects = RedirectPermits()
        self._faults = OriginFaults()
        self._secrets = job.secrets()
        self._is_new = files.journal.state.done.count == 0

    @property
    def rows(self) -> Path:
        """Where the rows are kept as they come: the output itself, or what the table is made of at the end."""
        return self.out.rows(self.folder)

    async def carry_out(self, watch: Watch = lambda total, limiter: ()) -> dict[str, Any]:
        """Pull until all is there or it is stopped; returns the summary, `summary["complete"]` says which.

        Raises UsageError if the host cannot be reached or the first page is not what the options say: nothing is kept
        then. Raises PenstockError where it makes no sense to go on later, StorageError where the disk fails.
        """
        try:
            async with make_client(self.job.flow, self._redirects, self._faults) as client:
                return await self._carry_out(client, watch)
        except UsageError as error:
            if not self._is_new or self._has_more_than_a_beginning():
                raise PenstockError(f"{error} (what came before is kept)") from error
            # What a first try with a wrong option has written is in the way of the second.
            self._forget()
            raise

    def _has_more_than_a_beginning(self) -> bool:
        done = self.files.journal.state.done
        return done.count > (0 in done)

    async def _carry_out(self, client: AnyClient[Request, Response], watch: Watch) -> dict[str, Any]:
        job = self.job
        if self._is_new:
            await knock(client, Request("GET", job.url, page_headers(job.headers)))
        rules, keep_pause = answer_rules(job.flow), self.files.keep_pause
        looker = Looker(self._looking, client, page_headers(job.headers), rules, self._secrets, keep_pause)
        paging = await self._paging(looker)
        paginator = make_paginator(paging)
        plan = self._plan(paginator)
        reader = _reader(job, paging, paginator)
        plan.tally.unsaid = reader.looks_for
        saved = self.files.saved.get(STATE)
        if saved is not None:
            plan.tally.restore(saved)
            plan.restore(saved["plan"], self.files.marks)
            reader = _reader(job, paging, paginator, rows=saved["rows_path"])
        self.tally = plan.tally
        self.tally.keyed = job.key is not None
        source = PageSource(plan)
        sink = RowSink(self.files, plan, reader, source.taken)
        done = self.files.journal.state.done.count
        session = Session(
            flow=job.flow,
            folder=self.folder,
            total=None,
            idempotent=True,
            counters=self.files.saved,
            resumed_at=done,
            watch=watch,
            known=lambda: _known(plan.tally),
            one_host=not job.allowed_hosts,
            redirects=self._redirects,
            faults=self._faults,
            given=job.given,
        )
        remembering = Remembering(client, looker.answers)
        call = page_call(remembering, page_headers(job.headers), reader, source, self._secrets)
        summary = await session.carry_out(call, source, sink)
        return self._finish(summary, plan, asked=source.asked)

    def _looking(self) -> Session:
        session = Session(self.job.flow, self.folder, total=1, idempotent=True, one_host=False, recorded=False)
        session.faults, session.counters, session.given = self._faults, self.files.kept_pause, self.job.given
        return session

    async def _paging(self, looker: Looker) -> Paging:
        """The paging as asked for, or as the first answers of the run showed it."""
        job = self.job
        if job.paging.style != "auto":
            return job.paging
        path = self.folder.path / _PAGING
        if path.exists():
            return _read_paging(path)
        first = await looker.first(job.url, job.paging)
        found = detect(
            first.answer, first.headers, first.next_link, first.names_in_url, job.paging, count=self._count(first)
        )
        paging, signs = (found.paging, found.signs) if not found.doubt else await self._prove(looker, first, found)
        looker.keep_first(job.url, paging, first)
        command = shlex.join(paging.in_command(job.flow.command))
        DISK.write_new(path, orjson.dumps(asdict(paging), option=orjson.OPT_INDENT_2))
        # From now on the command that is printed here is the same run.
        learn_fingerprint(self.folder, _fingerprint(job, paging))
        self._say(f"found {', '.join(signs)}. This is the same as:")
        self._say(command)
        return paging

    async def _prove(self, looker: Looker, first: FirstPage, found: DetectedPaging) -> tuple[Paging, tuple[str, ...]]:
        """The paging that a second page proves. Raises UsageError where none does."""
        proof = await looker.prove(self.job.url, first, found)
        tried = f"tried {'; '.join(proof.tried)}" if proof.tried else "nothing was tried"
        if proof.found is not None:
            return proof.found.paging, (*found.signs, proof.found.sign, tried)
        if found.not_paged and not found.lacks:
            paging = Paging("link", rows=found.paging.rows, total=found.paging.total, more=found.paging.more)
            return paging, (*found.signs, f"nothing that pages ({tried})")
        paging, hint = found.advice(proof.disproved)
        raise UsageError(
            f"{found.doubt}; {tried}. Give --paginate offset, page, cursor, next-url or link, and the names of its "
            f"parameters where they are not the usual ones. {hint}",
            command=shlex.join(paging.in_command(self.job.flow.command)),
        )

    def _count(self, first: FirstPage) -> int | None:
        """The rows of the first answer at --rows; None where the user leaves it to us to find them."""
        if self.job.paging.rows is None:
            return None
        try:
            return len(_reader(self.job, self.job.paging, LinkHeader()).rows_in(first.answer))
        except (UsageError, ValueError) as error:
            # JMESPath's own errors are ValueErrors.
            raise UsageError(f"{error}; the answer begins {first.begins}") from error

    def _plan(self, paginator: AnyPaginator) -> PagePlan:
        job = self.job
        if isinstance(paginator, (Offset, PageNumber)):
            return CountablePlan(
                paginator, job.url, stop_on=job.stop_on, most_pages=job.most_pages, keep_repeats=job.keep_repeats
            )
        if job.stop_on.short:
            raise UsageError(
                "--stop-on short only goes with --paginate offset or page: other pages say themselves which is last"
            )
        return ChainPlan(
            paginator, job.url, most_pages=job.most_pages, keep_repeats=job.keep_repeats, secrets=self._secrets
        )

    def _finish(self, summary: dict[str, Any], plan: PagePlan, *, asked: int) -> dict[str, Any]:
        tally = plan.tally
        short = (tally.short or tally.broken) and not plan.limited
        if summary["complete"]:
            short = tally.judge(limited=plan.limited)
        failed = [{"page": page + 1, "error": tally.failed[page]} for page in sorted(tally.failed)]
        lines = b"".join(orjson.dumps(each, option=orjson.OPT_APPEND_NEWLINE) for each in failed)
        DISK.write_new(self.folder.path / "failed.jsonl", lines)
        summary.update(
            total=tally.promised_pages,
            rows=tally.written,
            rows_received=tally.rows,
            rows_promised=tally.promised,
            duplicates=tally.duplicates,
            pages=tally.pages,
            empty_pages=tally.empty_pages,
            repeated_pages=tally.repeated_pages,
            repeated_rows=tally.repeated_rows,
            short=short,
            already_complete=summary["complete"] and not asked,
            warnings=list(tally.warnings),
            failed_pages=failed,
        )
        DISK.write_new(self.folder.path / "summary.json", orjson.dumps(summary, option=orjson.OPT_INDENT_2))
        return summary

    def write_table(self) -> TableReport | None:
        """See `RunOutput.write_table`."""
        return self.out.write_table(self.folder)

    def close(self) -> None:
        """Let the files go; what was not committed is dropped."""
        self.files.close()

    def _forget(self) -> None:
        self.files.close()
        with contextlib.suppress(OSError, StorageError):
            self.out.let_go(self.folder)
            if not self.rows.is_symlink():
                self.folder.storage.remove(self.rows)
            self.folder.clear()


def _known(tally: PullTally) -> dict[str, Any]:
    """What a report shows beside the counters."""
    return {"total": tally.promised_pages, "rows": tally.written, "rows_promised": tally.promised}


def _reader(job: PullJob, paging: Paging, paginator: AnyPaginator, *, rows: str | None = None) -> PageReader:
    return PageReader(
        paginator,
        rows=rows or paging.rows,
        total=paging.total,
        key=job.key,
        allowed_hosts=job.allowed_hosts,
        home=job.url,
        more=paging.more,
        pages=paging.total_pages,
        end_statuses=job.stop_on.statuses,
        answers=answer_rules(job.flow),
    )


# -- the run folder -------------------------------------------------------------------------------------------------


def _open(job: PullJob, out: RunOutput, opening: Opening, say: Say) -> PullRun:
    folder = opening.folder
    out.refuse_foreign(folder)
    if opening.is_new(_fingerprint(job, _paging_of(job, folder))):
        with opening.begin(out.let_go):
            out.make_files(folder)
    journal = Journal.open(folder.storage, folder.journal)
    files = RowFile(folder.storage, out.rows(folder), folder.path, journal, keyed=job.key is not None)
    return PullRun(job, out, folder, files, say)


def _paging_of(job: PullJob, folder: RunFolder) -> Paging:
    """How the API pages: with auto, what was found when the run was begun, but for what is asked for now."""
    path = folder.path / _PAGING
    if job.paging.style != "auto" or not path.exists():
        return job.paging
    asked = {name: value for name, value in asdict(job.paging).items() if value is not None and name != "style"}
    return replace(_read_paging(path), **asked)


def _read_paging(path: Path) -> Paging:
    return Paging(**orjson.loads(path.read_bytes()))


def _fingerprint(job: PullJob, paging: Paging) -> Fingerprint:
    # Runs that were begun before there were these options have no word of them.
    optional = {"--total-pages": paging.total_pages, "--more": paging.more, "--first-row": paging.first_row}
    facts = {
        "command": "pull",
        "--paginate": paging.style,
        "--page-size": paging.page_size,
        "--size-param": paging.size_param,
        "--offset-param": paging.offset_param,
        "--page-param": paging.page_param,
        "--cursor-param": paging.cursor_param,
        "--rows": paging.rows,
        "--total": paging.total,
        **{name: value for name, value in optional.items() if value is not None},
        "--next": paging.next,
        "--header names": sorted(name.lower() for name, _ in job.headers),
        "--key": job.key,
        "--on-repeat": "keep" if job.keep_repeats else "stop",
    }
    # The URL may hold keys of an API, and a token may be one.
    typed = job.given.typed
    start = typed.get("--start", paging.start or "")
    return facts, {
        "URL": comparable_url(typed.get("URL", job.url)),
        "--start": comparable_url(start) if paging.style in URL_STYLES else start,
    }
