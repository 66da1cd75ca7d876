"""`penstock check`: ask a vector search API for every stored vector, and see whether it finds that very vector."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson

from ..call import Resp
from ..engine.counters import RunCounters
from ..engine.item_call import ItemCall
from ..engine.outcome import Outcome
from ..errors import Outage, OutputError, Stopped, UsageError
from ..messages import Headers, Request, Response
from ..rules.census.finding import Finding
from ..rules.census.score_map import TOLERANCE
from ..rules.retries.verdict import RetryOn
from ..rules.secrets.values import SecretValues
from ..runs.client import knock, make_client
from ..runs.driver import InMemory, Watch
from ..runs.flow import Flow, check_flow
from ..runs.opening import Fingerprint, Opening, open_run
from ..runs.origin_faults import OriginFaults
from ..runs.run_folder import RunFolder
from ..runs.secrets.compared import comparable_body, comparable_url
from ..runs.secrets.given import Given
from ..runs.secrets.known import known_secrets
from ..runs.session import Session
from ..runs.storage import DISK
from .checked_file import Digests, changed, know_again, look
from .interpreter import answer_rules
from .vectors.answers import Hit, compile_answer, compile_hits
from .vectors.bodies import DEFAULT_TEMPLATE, BodyTemplate
from .vectors.calibrate import SAMPLE, AnswerReading, judging, learn
from .vectors.census_sink import CensusAnswer, CensusSink, load_counters
from .vectors.control import fooled, made_up
from .vectors.duplicates import equal_rows, find_duplicates
from .vectors.formats import open_vectors
from .vectors.queries import Queries, Query, sample_ranges
from .vectors.report import census_summary, write_findings
from .vectors.scoreboard import RECORD_BYTES, Scoreboard
from .vectors.search_call import search_call
from .vectors.second_look import HITS, LOOKED_AT, SecondLook, ranking
from .vectors.source import VectorSource, fingerprint

Say = Callable[[str], None]

_COUNTERS = "counters.json"
_SCAN_ROWS = 8192


@dataclass(frozen=True, slots=True)
class CheckJob:
    """What `penstock check` was asked to do. `similarity` and `id` are JMESPath expressions on an answer.

    `given` is what of it came from the environment.
    """

    source: Path
    out: Path
    url: str
    flow: Flow = field(default_factory=lambda: Flow(retry_on=RetryOn.TRANSIENT))
    method: str = "POST"
    headers: tuple[tuple[str, str], ...] = ()
    body: str = DEFAULT_TEMPLATE
    similarity: str = "similarity"
    id: str | None = None
    id_required: bool = True
    score_map: str | None = None
    tolerance: float = TOLERANCE
    format: str | None = None
    dim: int | None = None
    column: str | None = None
    sample: int | None = None
    second_look: int = 10_000
    duplicates: bool = False
    skip_bad_records: bool = False
    retry_failed: bool = False
    fresh: bool = False
    given: Given = field(default_factory=Given)

    def secrets(self) -> SecretValues:
        """What every request takes along, and nothing that is written may hold."""
        return known_secrets(
            headers=self.headers,
            urls=(self.url, self.flow.proxy),
            bodies=(self.body,),
            given=self.given,
        )


async def check(job: CheckJob, say: Say = lambda text: None) -> dict[str, Any]:
    """Open and carry out `job` in one; returns its summary. The reading of a new input blocks the loop."""
    with open_check(job, say) as census:
        return await census.carry_out()


@contextlib.contextmanager
def open_check(job: CheckJob, say: Say = lambda text: None) -> Iterator[Census]:
    """Open the census of `job`, old or new; nothing is sent yet.

    This may read all vectors of a new census and blocks meanwhile, so it belongs before the event loop. `say` is told,
    in sentences, what was inferred and what is done. Raises UsageError (and its kin) for whatever keeps the census
    from beginning.
    """
    check_flow(job.flow)
    if job.out.exists() and not job.out.is_dir():
        raise OutputError(f"--out {job.out} is a file; check writes a folder")
    template = BodyTemplate(job.body)
    compile_answer(job.similarity, job.id)
    with open_vectors(job.source, format=job.format, dim=job.dim, column=job.column) as source:
        say(source.describe())
        # A folder that is not a run's is left alone, also by --fresh.
        if job.out.is_dir() and any(job.out.iterdir()) and not (job.out / "lock").exists():
            raise OutputError(f"--out {job.out} holds something else; give a new folder")
        with open_run(job.out, lambda opening: _open(job, opening, source, template, say), fresh=job.fresh) as census:
            yield census


def _fingerprint(job: CheckJob, source: VectorSource, known: Digests | None) -> Fingerprint:
    facts = {
        "command": "check",
        "input": fingerprint(source) | changed(source.path, known),
        "--method": job.method.upper(),
        "--header names": sorted(name.lower() for name, _ in job.headers),
        "--similarity": job.similarity,
        "--id": job.id,
        "--score-map": job.score_map,
        "--tolerance": job.tolerance,
        "--sample": job.sample,
        "--on-bad-record": "skip" if job.skip_bad_records else "fail",
    }
    typed = job.given.typed
    return facts, {
        "--url": comparable_url(typed.get("--url", job.url)),
        "--body": comparable_body(typed.get("--body", job.body)),
    }


def _open(job: CheckJob, opening: Opening, source: VectorSource, template: BodyTemplate, say: Say) -> Census:
    path = opening.folder.path / "scoreboard"
    storage, kept = opening.folder.storage, opening.folder.path / "input.digests"
    known = Digests.load(kept) if opening.begun else None
    facts = _fingerprint(job, source, known)
    if opening.is_new(facts, nothing_done=lambda folder: _nothing_done(path, source.count)):
        known = _survey(job, source, say)
        with opening.begin():
            known.save(storage, kept)
            Scoreboard.open(path, source.count).close()
    source.trust(know_again(known, source.path, kept, storage))
    with contextlib.ExitStack() as opened:
        scoreboard = opened.enter_context(Scoreboard.open(path, source.count))
        if job.retry_failed:
            scoreboard.reset({Finding.FAILED})
        opened.pop_all()
    return Census(job, opening.folder, source, scoreboard, template, say)


def _survey(job: CheckJob, source: VectorSource, say: Say) -> Digests:
    """Read the whole input of a new census once: for NaN and infinity, and for what it is held to from then on."""
    seen = look(source.path)
    digests = Digests(seen[1], seen=seen)
    source.trust(digests)
    if source.count > 2_000_000:
        say("reading all vectors once before anything is sent")
    if not job.skip_bad_records and source.dtype.kind == "f":
        for start in range(0, source.count, _SCAN_ROWS):
            source.read(start, min(_SCAN_ROWS, source.count - start))
    digests.finish(source.path)
    return digests


def _nothing_done(path: Path, count: int) -> bool:
    if not path.exists():
        return True
    if path.stat().st_size != count * RECORD_BYTES:
        return False
    with Scoreboard.open(path, count) as scoreboard:
        return scoreboard.done_count() == 0


class Census:
    """One session of a census, opened and locked: calibrate, ask, look twice, sum up."""

    def __init__(
        self,
        job: CheckJob,
        folder: RunFolder,
        source: VectorSource,
        scoreboard: Scoreboard,
        template: BodyTemplate,
        say: Say,
    ) -> None:
        self._job = job
        self._folder = folder
        self._source = source
        self._scoreboard = scoreboard
        self._template = template
        self._watch: Watch = lambda total, limiter: ()
        self._watch_first: Watch = self._watch
        self._say = say
        given = {name.lower() for name, _ in job.headers}
        defaults = [("Content-Type", "application/json"), ("Accept", "application/json")]
        self._headers = Headers([*job.headers, *(each for each in defaults if each[0].lower() not in given)])
        self._total = source.count if job.sample is None else min(job.sample, source.count)
        self._read = compile_answer(job.similarity, job.id)
        self._secrets = job.secrets()
        self._answers = answer_rules(job.flow)
        self._files = contextlib.ExitStack()
        self._faults = OriginFaults()

    async def carry_out(
        self, watch: Watch = lambda total, limiter: (), watch_first: Watch | None = None
    ) -> dict[str, Any]:
        """Ask until all is done or stopped; returns the summary, `summary["complete"]` says which.

        `watch_first` is for the first answers, of which it is learnt how to read them; None: the same as `watch`.
        Raises UsageError if the host cannot be reached or the first answers are not clear, StorageError where the disk
        fails in the middle.
        """
        self._watch, self._watch_first = watch, watch_first or watch
        with self._files:
            try:
                return await self._carry_out()
            except Outage as outage:
                if outage.until is not None:
                    self._keep_pause(outage.until)
                raise

    def close(self) -> None:
        """Let the scoreboard go."""
        self._scoreboard.close()

    async def _carry_out(self) -> dict[str, Any]:
        resumed_at = self._scoreboard.done_count()
        async with make_client(self._job.flow, faults=self._faults) as client:
            self._client = client
            if resumed_at < self._total:
                await knock(client, self._call(lambda answer, query: answer).request(Query(0, b"{}")))
            reading = await self._reading()
            summary = await self._main(reading, resumed_at)
            summary["control"] = {"asked": reading.control[0], "found": reading.control[1]}
            if summary["complete"]:
                await self._look_again(reading, summary)
                self._keep_faults(summary)
        if self._job.duplicates and summary["complete"]:
            found = await asyncio.to_thread(find_duplicates, self._source, self._folder.path / "duplicates")
            summary["duplicates"] = {"groups": found.groups, "rows": found.rows}
        if summary["complete"]:
            write_findings(self._scoreboard, self._folder.path / "findings.jsonl", DISK)
        DISK.write_new(self._folder.path / "summary.json", orjson.dumps(summary, option=orjson.OPT_INDENT_2))
        return summary

    def _call(self, read: Callable[[Any, Query], Resp]) -> ItemCall[Query, Request, Response, Resp]:
        return search_call(
            self._client,
            method=self._job.method.upper(),
            url=self._job.url,
            headers=self._headers,
            answers=self._answers,
            read=read,
            secrets=self._secrets,
        )

    def _session(self, total: int, watch: Watch = lambda total, limiter: (), *, recorded: bool = False) -> Session:
        return Session(
            flow=self._job.flow,
            folder=self._folder,
            total=total,
            idempotent=True,
            counters=self._kept_pause(),
            watch=watch,
            faults=self._faults,
            given=self._job.given,
            recorded=recorded,
        )

    def _kept_pause(self) -> dict[str, Any]:
        """Counters of nothing but the pause that an earlier session was told to keep."""
        until = load_counters(self._folder.path / _COUNTERS).get("paused_until", 0.0)
        return RunCounters().as_json(0.0) | {"paused_until": until} if until else {}

    def _keep_pause(self, until: float) -> None:
        """Also one that was told during the first answers, or the second look, of which no counters are kept."""
        path = self._folder.path / _COUNTERS
        counters = RunCounters().as_json(0.0) | load_counters(path) | {"paused_until": until}
        DISK.write_new(path, orjson.dumps(counters))

    def _keep_faults(self, summary: dict[str, Any]) -> None:
        """Also those of the second look, of which no counters are kept."""
        path = self._folder.path / _COUNTERS
        unasked, died = self._faults.unasked.counts, self._faults.died.counts
        if (unasked, died) != (summary["unasked_answers"], summary["died_connections"]):
            summary |= {"unasked_answers": dict(unasked), "died_connections": dict(died)}
            DISK.write_new(path, orjson.dumps(load_counters(path) | {"unasked": unasked, "died": died}))

    # -- the first answers --------------------------------------------------------------------------------------------

    async def _reading(self) -> AnswerReading:
        path = self._folder.path / "calibration.json"
        if path.exists():
            reading = AnswerReading.from_json(orjson.loads(path.read_bytes()))
        else:
            reading = await self._calibrate()
            DISK.write_new(path, orjson.dumps(reading.as_json(), option=orjson.OPT_INDENT_2))
        self._say(reading.calibration.text)
        if reading.note:
            self._say(reading.note)
        asked, found = reading.control
        if found:
            self._say(
                f"careful: {found} of {asked} made-up vectors, which nobody stored, were answered with full "
                "similarity; this server's answers prove little"
            )
        return reading

    async def _calibrate(self) -> AnswerReading:
        ranges = sample_ranges(self._source.count, min(SAMPLE, self._total))
        self._say(f"asking for {len(ranges)} of them first, to learn how to read the answers")
        answers: list[tuple[int, Hit]] = []
        sink = _CollectAnswers(answers, self._keep_pause)
        call = self._call(lambda answer, query: self._read(answer))
        session = self._session(len(ranges), self._watch_first)
        summary = await session.carry_out(call, Queries(self._source, self._template, ranges), sink)
        if not summary["complete"]:
            raise Stopped("stopped during the first answers; the same command goes on from there")
        if not answers:
            kinds = ", ".join(f"{kind} {count}" for kind, count in summary["by_kind"].items())
            why = f": {sink.last_failure}" if sink.last_failure else ""
            raise UsageError(f"none of the first {len(ranges)} calls was answered ({kinds or 'stopped'}){why}")
        reading = learn(
            answers,
            similarity_path=self._job.similarity,
            tolerance=self._job.tolerance,
            chosen_map=self._job.score_map,
            with_ids=self._job.id is not None,
            ids_required=self._job.id_required,
        )
        return await self._control(reading)

    async def _control(self, reading: AnswerReading) -> AnswerReading:
        """Ask for vectors that are not stored, and note how many of them the server claims to have."""
        controls = made_up(self._source, self._template)
        claims = _Claims(self._keep_pause)
        await self._session(len(controls)).carry_out(self._call(fooled(self._read, reading)), controls, claims)
        return replace(reading, control=(claims.answered, claims.found))

    # -- the census ---------------------------------------------------------------------------------------------------

    async def _main(self, reading: AnswerReading, resumed_at: int) -> dict[str, Any]:
        counters_path = self._folder.path / _COUNTERS
        sink = CensusSink(self._scoreboard, reading.id_map, DISK, counters_path)
        call = self._call(judging(self._read, reading, self._same_vector(reading)))
        session = self._session(self._total, self._watch, recorded=True)
        session.counters = self._counters(counters_path, sink)
        session.resumed_at = resumed_at
        summary = await session.carry_out(call, Queries(self._source, self._template, self._to_do()), sink)
        sink.save_counters(session.final_counters)
        return census_summary(summary, self._scoreboard.summary(), self._total)

    def _to_do(self) -> Iterable[tuple[int, int]]:
        if self._job.sample is None:
            return self._scoreboard.not_done()
        ranges = sample_ranges(self._source.count, self._total)
        return [each for each in ranges if self._scoreboard.get(each[0])[3] is Finding.NOT_DONE]

    def _counters(self, path: Path, sink: CensusSink) -> dict[str, Any]:
        """Counters of the sessions before. What each vector came to is taken from the scoreboard, which is exact."""
        saved = load_counters(path)
        done = sum(count for finding, count in sink.findings.items() if finding is not Finding.NOT_DONE)
        if not saved or not done:
            return self._kept_pause()
        failed = sink.findings[Finding.FAILED]
        by_kind = self._scoreboard.summary().by_kind if failed else {}
        return saved | {"items": done, "ok": done - failed, "failed": failed, "by_kind": by_kind}

    def _same_vector(self, reading: AnswerReading) -> Callable[[Any, Any], bool] | None:
        id_map = reading.id_map
        if id_map is None:
            return None
        # A source of its own: the other one's buffer is in use by the reading thread.
        other = self._files.enter_context(
            open_vectors(self._job.source, format=self._job.format, dim=self._job.dim, column=self._job.column)
        )
        other.trust(self._source.digests)

        def same(hit_id: Any, expected_id: Any) -> bool:
            hit, expected = id_map.position(hit_id), id_map.position(expected_id)
            if hit is None or expected is None or not 0 <= hit < other.count:
                return False
            return equal_rows(other, hit, expected)

        return same

    # -- the second look ----------------------------------------------------------------------------------------------

    async def _look_again(self, reading: AnswerReading, summary: dict[str, Any]) -> None:
        path = self._folder.path / "second_look.json"
        if path.exists() and not self._job.retry_failed:
            summary["second_look"] = orjson.loads(path.read_bytes())
            return
        hits = compile_hits(self._job.similarity, self._job.id)
        misses = [] if hits is None or not self._template.uses_k else self._misses()
        if not misses or hits is None:
            return
        self._say(f"a second look at {len(misses):,} vectors that were not found, among the first {HITS} hits")
        looked = SecondLook()
        queries = Queries(self._source, self._template.with_k(HITS), [(each, each + 1) for each in misses])
        call = self._call(ranking(hits, reading))
        session = await self._session(len(misses)).carry_out(call, queries, _Ranks(looked, self._keep_pause))
        if not session["complete"]:
            summary["complete"] = False
            return
        summary["second_look"] = looked.as_json()
        DISK.write_new(path, orjson.dumps(summary["second_look"]))

    def _misses(self) -> list[int]:
        misses: list[int] = []
        for first, block in self._scoreboard.records():
            for offset, finding in enumerate(block[12::16]):
                if finding in LOOKED_AT:
                    misses.append(first + offset)
                    if len(misses) >= self._job.second_look:
                        return misses
        return misses


class _CollectAnswers(InMemory):
    def __init__(self, answers: list[tuple[int, Hit]], keep_pause: Callable[[float], None]) -> None:
        super().__init__(keep_pause)
        self._answers = answers
        self.last_failure = ""

    def put(self, outcome: Outcome[Query, Hit]) -> None:
        if outcome.value is not None:
            self._answers.append((outcome.position, outcome.value))
        else:
            self.last_failure = outcome.message


class _Claims(InMemory):
    def __init__(self, keep_pause: Callable[[float], None]) -> None:
        super().__init__(keep_pause)
        self.answered = 0
        self.found = 0

    def put(self, outcome: Outcome[Query, bool]) -> None:
        if outcome.ok:
            self.answered += 1
            self.found += bool(outcome.value)


class _Ranks(InMemory):
    def __init__(self, looked: SecondLook, keep_pause: Callable[[float], None]) -> None:
        super().__init__(keep_pause)
        self._looked = looked

    def put(self, outcome: Outcome[Query, int | None]) -> None:
        if outcome.ok:
            self._looked.ranks[outcome.position] = outcome.value
        else:
            self._looked.failed += 1


__all__ = ["Census", "CensusAnswer", "CheckJob", "check", "open_check"]
