"""Rows, marks, keys and journal together: nothing is lost or doubled by crashes anywhere."""

from __future__ import annotations

import contextlib
import random
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock import Cursor, Offset, PenstockError, RunRefused, StorageError, UsageError
from penstock.engine.counters import RunCounters
from penstock.engine.outcome import Item, Outcome
from penstock.errors import BadBody, BadPage, CallError
from penstock.outbound.paging.chain import ChainPlan
from penstock.outbound.paging.countable import CountablePlan
from penstock.outbound.paging.keys import SeenKeys
from penstock.outbound.paging.output import STATE, RowFile, RowSink
from penstock.outbound.paging.plan import PagePlan
from penstock.outbound.paging.reader import PageAnswer, PageAsk, PageReader
from penstock.runs.journal import Journal
from penstock.runs.storage import DISK, Storage
from runs.simulated_storage import Crash, SimulatedStorage

from .test_pull_plans import BASE, answer_of

PAGES = 14


def outcome_of(answer: PageAnswer, ask: PageAsk) -> Outcome[Any, Any]:
    """A page that came."""
    return Outcome(Item(ask.number, ask), ok=True, value=answer)


class Session:
    """One session of a pull of `PAGES` pages of two rows, over a storage."""

    def __init__(self, folder: Path, storage: Storage, *, chained: bool, keyed: bool = False) -> None:
        journal = folder / "journal"
        if not journal.exists():
            Journal.create(storage, journal)
        self.files = RowFile(storage, folder / "rows", folder, Journal.open(storage, journal), keyed=keyed)
        self.plan: PagePlan = ChainPlan(Cursor(), BASE) if chained else CountablePlan(Offset(2), BASE)
        saved = self.files.saved.get(STATE)
        if saved is not None:
            self.plan.tally.restore(saved)
            self.plan.restore(saved["plan"], self.files.marks)
        self.sink = RowSink(self.files, self.plan, PageReader(Offset()), lambda number: None)

    def answer(self, ask: PageAsk) -> PageAnswer:
        """Pages 5 and 6 are equal, which is no reason to drop one; the rows of page 9 come again in page 10."""
        number = {6: 5, 10: 9}.get(ask.number, ask.number)
        rows = [f'"{number}a"', f'"{number}b"'] if ask.number < PAGES else []
        following = ask.number + 1 if ask.number < PAGES - 1 else None
        answer = answer_of(ask, rows, following=following)
        answer.keys = [row.encode() for row in rows]
        return answer

    def work(self, chance: random.Random) -> None:
        """To the end, with commits now and then."""
        waiting: list[PageAsk] = []
        while True:
            while len(waiting) < 5 and (asks := self.plan.asks()):
                waiting += asks
            if not waiting:
                break
            ask = waiting.pop(chance.randrange(len(waiting)))
            self.sink.put(outcome_of(self.answer(ask), ask))
            if chance.random() < 0.3:
                self.commit()
        self.commit()

    def commit(self) -> None:
        """As the driver does."""
        self.sink.cut(RunCounters().as_json(0.0)).write()


def expected(*, keyed: bool = False) -> list[str]:
    """All rows of the API, sorted."""
    numbers = [{6: 5, 10: 9}.get(page, page) for page in range(PAGES)]
    rows = [f'"{number}{letter}"' for number in numbers for letter in "ab"]
    return sorted(set(rows) if keyed else rows)


@given(
    crashes=st.lists(st.tuples(st.integers(0, 40), st.booleans()), max_size=5),
    chained=st.booleans(),
    seed=st.integers(0, 10**6),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_rows_are_there_once_after_kills_and_power_cuts(
    tmp_path_factory: pytest.TempPathFactory, crashes: list[tuple[int, bool]], chained: bool, seed: int
) -> None:
    """At any operation on the disk, any number of times."""
    folder = tmp_path_factory.mktemp("pull")
    chance = random.Random(seed)
    storage = SimulatedStorage(folder, seed)
    for steps, power_cut in crashes:
        storage.steps = steps
        with contextlib.suppress(Crash):
            Session(folder, cast("Storage", storage), chained=chained).work(chance)
        storage.crash(power_cut=power_cut)
    storage.steps = None
    session = Session(folder, cast("Storage", storage), chained=chained)
    session.work(chance)
    session.files.close()
    assert sorted((folder / "rows").read_text().split()) == expected()


@pytest.mark.parametrize("chained", [True, False])
@pytest.mark.parametrize("seed", range(8))
def test_keys_of_what_was_not_committed_do_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chained: bool, seed: int
) -> None:
    """A kill between the commit of the keys and that of the journal drops no row."""
    chance = random.Random(seed)
    real = Journal.commit
    left = chance.randrange(4)

    def dying(self: Journal, *arguments: Any) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Crash
        real(self, *arguments)

    monkeypatch.setattr(Journal, "commit", dying)
    killed = Session(tmp_path, DISK, chained=chained, keyed=True)
    with contextlib.suppress(Crash):
        killed.work(chance)
    assert killed.files.keys is not None
    # As the end of the process does: what was not committed is dropped.
    killed.files.keys.close()
    monkeypatch.setattr(Journal, "commit", real)
    session = Session(tmp_path, DISK, chained=chained, keyed=True)
    session.work(chance)
    session.files.close()
    assert sorted((tmp_path / "rows").read_text().split()) == expected(keyed=True)
    assert session.plan.tally.duplicates == 4


def test_keys_that_are_gone_are_refused(tmp_path: Path) -> None:
    """Without them rows would come twice."""
    session = Session(tmp_path, DISK, chained=True, keyed=True)
    session.work(random.Random(0))
    session.files.close()
    for file in tmp_path.glob("keys.sqlite*"):
        file.unlink()
    with pytest.raises(RunRefused, match=r"keys\.sqlite"):
        Session(tmp_path, DISK, chained=True, keyed=True)


@pytest.mark.parametrize("token", [2**64 + 1, "1" * 30])
def test_a_token_of_any_length_is_kept(tmp_path: Path, token: Any) -> None:
    """The state of a pull can be written, and goes on where it was."""
    session = Session(tmp_path, DISK, chained=True)
    (ask,) = session.plan.asks()
    answer = session.answer(ask)
    answer.next = token
    session.sink.put(outcome_of(answer, ask))
    session.commit()
    session.files.close()
    (ask,) = Session(tmp_path, DISK, chained=True).plan.asks()
    assert str(token) in ask.url


@pytest.mark.parametrize("error", [BadPage("no rows"), BadBody("not JSON")])
def test_no_page_beyond_the_promise_is_the_end(tmp_path: Path, error: CallError) -> None:
    """Some APIs answer 200 and a message there, or a page for people. It must not keep the pull from ending."""
    session = Session(tmp_path, DISK, chained=False)
    while asks := session.plan.asks():
        for ask in asks:
            if ask.number < 2:
                answer = PageAnswer(ask, 200)
                answer.rows, answer.digest, answer.total = 1, ask.number + 1, 2
                session.sink.put(outcome_of(answer, ask))
            else:
                session.sink.put(Outcome(Item(ask.number, ask), ok=False, kind="unexpected", error=error))
    session.commit()
    assert not session.plan.asks()
    assert session.plan.tally.complete
    assert not session.plan.tally.failed


def test_a_file_that_is_not_the_runs_is_refused(tmp_path: Path) -> None:
    """Rows that were changed, and marks that are too few."""
    session = Session(tmp_path, DISK, chained=True)
    session.work(random.Random(1))
    session.files.close()
    rows = (tmp_path / "rows").read_bytes()
    (tmp_path / "rows").write_bytes(rows[:-3] + b'x"\n')
    with pytest.raises(RunRefused, match="rows was changed"):
        Session(tmp_path, DISK, chained=True)
    (tmp_path / "rows").write_bytes(rows)
    (tmp_path / "marks").write_bytes(b"")
    with pytest.raises(RunRefused, match="marks was changed"):
        Session(tmp_path, DISK, chained=True)


def test_failed_pages_are_not_done_and_do_not_count_the_next_time(tmp_path: Path) -> None:
    """The next session asks for them again, and for nothing else."""
    session = Session(tmp_path, DISK, chained=False)
    failed: Outcome[Any, Any] = Outcome(Item(2, PageAsk(2, BASE)), ok=False, kind="timeout", message="no answer")
    waiting = session.plan.asks()
    while waiting:
        ask = waiting.pop(0)
        session.sink.put(failed if ask.number == 2 else outcome_of(session.answer(ask), ask))
        waiting += session.plan.asks()
    counters = RunCounters().as_json(0.0) | {"items": 17, "failed": 1, "by_kind": {"timeout": 1}}
    session.sink.cut(counters).write()
    session.files.close()
    assert list(session.plan.tally.failed) == [2]
    again = Session(tmp_path, DISK, chained=False)
    assert (again.files.saved["items"], again.files.saved["failed"]) == (16, 0)
    assert [ask.number for ask in again.plan.asks()] == [2]


@pytest.mark.parametrize(("number", "error"), [(0, UsageError), (4, PenstockError)])
def test_an_answer_that_is_no_page_stops_the_pull(tmp_path: Path, number: int, error: type[Exception]) -> None:
    """The user's fault if it is the first, and resumable otherwise."""
    session = Session(tmp_path, DISK, chained=False)
    bad: Outcome[Any, Any] = Outcome(
        Item(number, PageAsk(number, BASE)), ok=False, kind="unexpected", message="no rows", error=BadPage("no rows")
    )
    with pytest.raises(error, match=f"page {number + 1}: no rows"):
        session.sink.put(bad)


def test_seen_keys_are_exact(tmp_path: Path) -> None:
    """Within a page, across pages, across restarts; and what was not committed is forgotten."""
    keys = SeenKeys(tmp_path / "keys", 0)
    assert keys.add([b"a", b"b", None, b"a", None]) == [3]
    keys.commit()
    count = keys.count
    assert keys.add([b"c", b"b"]) == [1]
    keys.commit()
    keys.close()
    keys = SeenKeys(tmp_path / "keys", count)
    assert keys.add([b"c", b"b", b"a", b"d"]) == [1, 2]
    keys.close()


def test_a_broken_key_file_is_a_storage_error(tmp_path: Path) -> None:
    """One line that says where, and that what was committed is safe."""
    (tmp_path / "keys").write_bytes(b"no database" * 100)
    with pytest.raises(StorageError, match="keys"):
        SeenKeys(tmp_path / "keys", 0)
