"""What is committed survives every crash; the output holds exactly one record for each item."""

from __future__ import annotations

import contextlib
import random
import zlib
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock import OutputError, RunRefused, StorageError
from penstock.engine.outcome import Answer, Item, Outcome
from penstock.runs import journal as journal_module
from penstock.runs.done_set import DoneSet
from penstock.runs.journal import Journal
from penstock.runs.json_lines import JsonLinesOutput, drop_failed
from penstock.runs.storage import DISK, AppendFile, Storage

from .simulated_storage import Crash, SimulatedStorage


def outcome_of(position: int, *, ok: bool = True, value: Any = "x" * 20) -> Outcome[Any, Any]:
    item = Item(position, None)
    item.attempts = 1
    if ok:
        return Outcome(item, ok=True, value=Answer(200, value))
    return Outcome(item, ok=False, kind="timeout", message="no complete answer")


def records(path: Path) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


class Run:
    """A run of `count` items as `send` keeps it, over any storage."""

    def __init__(self, storage: Storage, folder: Path, count: int) -> None:
        self.storage = storage
        self.journal_path = folder / "journal"
        self.out = folder / "out.jsonl"
        self.count = count
        self.promised: set[int] = set()
        """Positions whose commit has returned."""

    def begin(self) -> None:
        Journal.create(self.storage, self.journal_path)
        self.storage.open(self.out).close()

    @contextlib.contextmanager
    def open(self, *, retry_failed: bool = False) -> Iterator[JsonLinesOutput]:
        output = JsonLinesOutput.open(self.storage, self.out, Journal.open(self.storage, self.journal_path))
        try:
            self.check(output)
            if retry_failed:
                failed = {record["key"] for record in records(self.out) if not record["ok"]}
                self.promised -= failed
                dropped = drop_failed(self.storage, self.out, output.journal)
                assert dropped == len(failed)
                output.close()
                output = JsonLinesOutput.open(self.storage, self.out, Journal.open(self.storage, self.journal_path))
                self.check(output)
            yield output
        finally:
            output.close()

    def check(self, output: JsonLinesOutput) -> None:
        written = records(self.out)
        keys = [record["key"] for record in written]
        assert len(keys) == len(set(keys)), "an item has two records"
        assert set(keys) == {position for position in range(self.count) if position in output.done}
        assert self.promised <= set(keys), "a committed item was lost"
        assert output.done.count == len(keys)
        failed = {record["key"] for record in written if not record["ok"]}
        assert output.done.failed_count == len(failed)

    def session(self, chance: random.Random, *, retry_failed: bool = False, failing: float = 0.3) -> None:
        """Do what is left, in groups and in any order, to the end or to a crash."""
        with self.open(retry_failed=retry_failed) as output:
            left = [position for position in range(self.count) if position not in output.done]
            chance.shuffle(left)
            while left:
                group = [left.pop() for _ in range(min(len(left), chance.randint(1, 8)))]
                for position in group:
                    output.put(outcome_of(position, ok=chance.random() >= failing, value="x" * chance.randint(0, 90)))
                output.cut({"items": len(group), "failed": 0, "by_kind": {}, "n": len(left)}).write()
                self.promised |= set(group)
            # The end of a session is a commit of nothing.
            output.cut({"items": 0, "failed": 0, "by_kind": {}}).write()


@given(
    count=st.integers(1, 60),
    crashes=st.lists(st.tuples(st.integers(0, 60), st.booleans(), st.booleans()), max_size=8),
    seed=st.integers(0, 2**32),
    compact=st.sampled_from([0, 200, 1000, 1 << 20]),
)
def test_after_any_crashes_every_item_has_exactly_one_record(
    tmp_path_factory: pytest.TempPathFactory,
    count: int,
    crashes: list[tuple[int, bool, bool]],
    seed: int,
    compact: int,
) -> None:
    """Kills and power cuts at any operation, with small compactions and retries of the failed in between."""
    folder = tmp_path_factory.mktemp("run")
    storage = SimulatedStorage(folder, seed)
    run = Run(storage, folder, count)
    chance = random.Random(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal_module, "COMPACT_BYTES", compact)
        run.begin()
        for steps, power_cut, retry_failed in crashes:
            storage.steps = steps
            try:
                run.session(chance, retry_failed=retry_failed)
            except Crash:
                storage.crash(power_cut=power_cut)
            storage.steps = None
        run.session(chance)
        run.session(chance, retry_failed=True, failing=0.0)
    assert sorted(record["key"] for record in records(run.out)) == list(range(count))
    assert all(record["ok"] for record in records(run.out))


@pytest.mark.parametrize("power_cut", [True, False])
@pytest.mark.parametrize("seed", range(5))
def test_dropping_the_failed_can_crash_at_every_step(tmp_path: Path, power_cut: bool, seed: int) -> None:
    """Wherever --retry-failed is cut short, the next start has each item once, and the good ones are kept."""
    for steps in range(100):
        folder = tmp_path / str(steps)
        folder.mkdir()
        storage = SimulatedStorage(folder, seed + steps)
        run = Run(storage, folder, 30)
        run.begin()
        run.session(random.Random(seed))
        good = {record["key"] for record in records(run.out) if record["ok"]}
        run.promised = set(good)
        storage.steps = steps
        crashed = False
        try:
            with run.open(retry_failed=True):
                pass
        except Crash:
            crashed = True
            storage.crash(power_cut=power_cut)
        storage.steps = None
        run.session(random.Random(seed), retry_failed=True, failing=0.0)
        assert sorted(record["key"] for record in records(run.out)) == list(range(30))
        assert not (folder / "out.jsonl.rewrite").exists()
        if not crashed:
            break
    else:
        pytest.fail("the test never reached the end of the operation")
    assert steps > 8


@pytest.mark.parametrize("zeros", [True, False])
def test_a_frame_torn_at_any_byte_counts_as_not_there(tmp_path: Path, zeros: bool) -> None:
    """The journal cut at every byte of its last frame, zeros after it or not: only that commit never happened."""
    run = Run(DISK, tmp_path, 100)
    run.begin()
    with run.open() as output:
        for first in (0, 10, 20):
            for position in range(first, first + 10):
                output.put(outcome_of(position, ok=position % 3 != 0))
            output.cut({"n": first}).write()
            if first == 10:
                before = run.journal_path.read_bytes()
    whole, written = run.journal_path.read_bytes(), run.out.read_bytes()
    for size in range(len(before), len(whole)):
        torn = whole[:size] + (bytes(len(whole) - size) if zeros else b"")
        if torn == whole:
            continue
        run.journal_path.write_bytes(torn)
        run.out.write_bytes(written)
        output = JsonLinesOutput.open(DISK, run.out, Journal.open(DISK, run.journal_path))
        assert output.done.count == 20
        assert output.saved_counters == {"n": 10}
        assert len(records(run.out)) == 20
        output.close()
        assert run.journal_path.read_bytes() == before


@pytest.mark.parametrize("index", range(0, 200, 7))
def test_a_changed_byte_in_a_frame_is_found(tmp_path: Path, index: int) -> None:
    """A flipped bit in the last frame undoes that commit; it is never half believed."""
    run = Run(DISK, tmp_path, 100)
    run.begin()
    with run.open() as output:
        start = run.journal_path.stat().st_size
        for position in range(10):
            output.put(outcome_of(position))
        output.cut({"n": 1}).write()
    data = bytearray(run.journal_path.read_bytes())
    data[start + index % (len(data) - start)] ^= 4
    run.journal_path.write_bytes(data)
    journal = Journal.open(DISK, run.journal_path)
    assert journal.state.done.count == 0
    journal.close()


@pytest.mark.parametrize("data", [b"", b"x", b"not a journal at all, but long enough to hold a head", bytes(100)])
def test_a_damaged_journal_is_refused_with_what_to_do(tmp_path: Path, data: bytes) -> None:
    """A journal whose first frame cannot be read is refused, with the way out."""
    path = tmp_path / "journal"
    path.write_bytes(data)
    with pytest.raises(RunRefused, match=r"damaged.*--fresh"):
        Journal.open(DISK, path)
    assert path.read_bytes() == data


def committed(tmp_path: Path, *, clean_end: bool) -> Run:
    run = Run(DISK, tmp_path, 100)
    run.begin()
    with run.open() as output:
        for position in range(10):
            output.put(outcome_of(position))
        output.cut({}).write()
        if clean_end:
            output.cut({}).write()
    return run


@pytest.mark.parametrize("clean_end", [True, False])
@pytest.mark.parametrize(
    "change",
    [
        lambda data: b"",
        lambda data: data[:-1],
        lambda data: data[: len(data) // 2],
        lambda data: data[:-5] + b"XXXX\n",
        lambda data: data.replace(b'"status":200', b'"status":201'),
        lambda data: b" " * 3 + data,
    ],
    ids=["emptied", "cut", "halved", "overwritten", "edited", "shifted"],
)
def test_a_changed_output_is_refused(tmp_path: Path, change: Any, clean_end: bool) -> None:
    """An output that is not the one the journal speaks of is refused and left as it is, also after a clean end."""
    run = committed(tmp_path, clean_end=clean_end)
    changed = change(run.out.read_bytes())
    run.out.write_bytes(changed)
    with pytest.raises(RunRefused, match=r"was changed since the last commit.*--fresh"):
        JsonLinesOutput.open(DISK, run.out, Journal.open(DISK, run.journal_path))
    assert run.out.read_bytes() == changed


def test_what_was_never_committed_is_cut_off(tmp_path: Path) -> None:
    """Records beyond the last commit belong to items that will be called again; they go."""
    run = committed(tmp_path, clean_end=False)
    before = run.out.read_bytes()
    run.out.write_bytes(before + b'{"key": 10, "ok": tr')
    with run.open() as output:
        assert output.done.count == 10
    assert run.out.read_bytes() == before


def test_an_output_with_a_broken_record_cannot_be_rewritten(tmp_path: Path) -> None:
    """--retry-failed on an output that is not JSON lines in the middle says so and changes nothing."""
    run = Run(DISK, tmp_path, 10)
    run.begin()
    with run.open() as output:
        for position in range(5):
            output.put(outcome_of(position, ok=position != 2))
        output.cut({"items": 5, "failed": 1}).write()
        data = run.out.read_bytes()
        run.out.write_bytes(data.replace(b'{"key":0,', b'["key":0,'))
        with pytest.raises(OutputError, match="cannot be read"):
            drop_failed(DISK, run.out, output.journal)
        assert output.done.count == 5


def test_compaction_keeps_the_journal_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many commits, the journal stays near the size of one snapshot and what may follow it."""
    monkeypatch.setattr(journal_module, "COMPACT_BYTES", 2000)
    run = Run(DISK, tmp_path, 800)
    run.begin()
    with run.open() as output:
        for position in range(800):
            output.put(outcome_of(position, ok=position % 5 != 0))
            output.cut({"items": position}).write()
            assert run.journal_path.stat().st_size < 2000 + 200 + 800 // 4
    with run.open() as output:
        assert output.done.count == 800
        assert output.done.failed_count == 160
        assert output.saved_counters == {"items": 799}


def test_compaction_counts_what_came_after_the_snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a large run the snapshot alone is above the bound; counted with it, every commit would write all anew."""
    monkeypatch.setattr(journal_module, "COMPACT_BYTES", 1000)
    path = tmp_path / "journal"
    Journal.create(DISK, path)
    journal = Journal.open(DISK, path)
    # Every other one of 16,000: two thousand bytes of bits that no base can take in.
    journal.commit(array("Q", range(1, 16_000, 2)), array("Q"), 0, b"", {})
    snapshot = path.stat().st_size
    assert 2000 < snapshot < 8000, "the commit of 64,000 bytes was compacted at once"
    for _ in range(2):
        sizes = [snapshot]
        while sizes[-1] >= sizes[max(0, len(sizes) - 2)] and len(sizes) < 100:
            journal.commit(array("Q", [0]), array("Q"), 0, b"", {})
            sizes.append(path.stat().st_size)
        frame = sizes[1] - snapshot
        assert 0 < frame < 200
        assert len(sizes) == 1000 // frame + 2, "written anew with the first frame that is above the bound"
        snapshot = sizes[-1]
        # What opens it knows as much.
        journal.close()
        journal = Journal.open(DISK, path)
    journal.close()


@pytest.mark.parametrize("compacted", [False, True])
def test_what_is_committed_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, compacted: bool) -> None:
    """All of it, from frames and from a snapshot; a commit without records leaves the last ones to tell by."""
    monkeypatch.setattr(journal_module, "COMPACT_BYTES", -1 if compacted else 1 << 20)
    path = tmp_path / "journal"
    Journal.create(DISK, path)
    journal = Journal.open(DISK, path)
    journal.commit(array("Q", [0, 1, 5]), array("Q", [5]), 300, b"first", {"items": 3})
    journal.commit(array("Q", [2, 9]), array("Q", [9]), 400, b"second", {"items": 5})
    journal.commit(array("Q", [7]), array("Q"), 400, b"", {"items": 6})
    for _ in range(2):
        state = journal.state
        assert [position for position in range(12) if position in state.done] == [0, 1, 2, 5, 7, 9]
        assert (state.done.count, state.done.failed_count) == (6, 2)
        assert (state.output_size, state.tail_size, state.tail_crc) == (400, 6, zlib.crc32(b"second"))
        assert (state.counters, state.swap) == ({"items": 6}, "")
        journal.close()
        journal = Journal.open(DISK, path)
    journal.state.swap = "other"
    journal.rewrite(journal.state)
    journal.commit(array("Q", [3]), array("Q"), 500, b"third", {"items": 7})
    journal.close()
    journal = Journal.open(DISK, path)
    assert (journal.state.swap, journal.state.done.count, journal.state.output_size) == ("other", 7, 500)
    journal.close()


def test_a_write_that_fails_is_a_storage_error_and_the_next_start_goes_on(tmp_path: Path) -> None:
    """When the disk refuses a commit nothing of it counts; what was committed before does."""
    run = committed(tmp_path, clean_end=False)

    class FullDisk:
        def append(self, data: bytes | bytearray) -> None:
            self.file.append(data[: len(data) // 2])
            raise StorageError("disk full")

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

        def __init__(self, file: Any) -> None:
            self.file = file

    for broken in ("_file", "_journal"):
        journal = Journal.open(DISK, run.journal_path)
        output = JsonLinesOutput.open(DISK, run.out, journal)
        output.put(outcome_of(50))
        if broken == "_file":
            output._file = cast("AppendFile", FullDisk(output._file))
        else:
            journal._file = cast("AppendFile", FullDisk(journal._file))
        with pytest.raises(StorageError):
            output.cut({}).write()
        output.close()
        with run.open() as output:
            assert output.done.count == 10


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("\ud800", 1),
        ('é\n"', "\u2028"),
        (2**70, None),
        (1, {"a": [float("nan"), 1e308, "\udfff"]}),
        (1, 2**70),
        (1, b"x"),
    ],
)
def test_whatever_is_in_a_record_takes_one_line(tmp_path: Path, key: Any, value: Any) -> None:
    """Odd keys and values cost no record: each outcome is one line of JSON."""
    run = Run(DISK, tmp_path, 1)
    run.begin()
    item = Item(0, None, key)
    with run.open() as output:
        output.put(Outcome(item, ok=True, value=Answer(200, value)))
        output.cut({}).write()
    assert run.out.read_bytes().count(b"\n") == 1
    assert set(records(run.out)[0]) == {"key", "ok", "status", "attempts", "waited_ms", "service_ms", "value"}


def test_a_failure_is_recorded_with_its_kind_and_a_message_of_bounded_length(tmp_path: Path) -> None:
    """A failure's record says what it was; a huge message is cut."""
    run = Run(DISK, tmp_path, 1)
    run.begin()
    with run.open() as output:
        item: Item[None] = Item(0, None)
        output.put(Outcome(item, ok=False, kind="bad_body", message="m" * 10_000, status=200))
        output.cut({}).write()
    record = records(run.out)[0]
    assert record["error"] == {"kind": "bad_body", "message": "m" * 1000}
    assert (record["ok"], record["status"], record["attempts"]) == (False, 200, 0)


@given(
    st.lists(
        st.tuples(st.sets(st.integers(0, 400), max_size=60), st.sets(st.integers(0, 400), max_size=10)), max_size=12
    )
)
def test_a_done_set_is_a_set(groups: list[tuple[set[int], set[int]]]) -> None:
    """Compared with a Python set through adds, failures and without_failed."""
    done, model, model_failed = DoneSet(), set[int](), set[int]()
    for positions, failed in groups:
        failed &= positions - model
        done.add(array("Q", positions), array("Q", failed))
        model |= positions
        model_failed |= failed
        assert done.count == len(model)
        assert done.failed_count == len(model_failed)
        assert all((position in done) == (position in model) for position in range(420))
        copy = DoneSet(done.base, bytes(done.bits), bytes(done.failed))
        assert (copy.count, copy.failed_count) == (done.count, done.failed_count)
        rest = done.without_failed()
        assert all((position in rest) == (position in model - model_failed) for position in range(420))
        assert rest.count == len(model - model_failed)
        assert rest.failed_count == 0
        assert done.base % 8 == 0


def test_a_done_set_of_ten_million_in_order_is_small() -> None:
    """Finishing nearly in order keeps only the ragged edge."""
    done = DoneSet()
    done.add(range(1_000_000))
    assert done.count == 1_000_000
    assert len(done.bits) + len(done.failed) == 0


@pytest.mark.parametrize("of_frame", ["head", "facts", "body"])
def test_a_flipped_bit_before_whole_frames_is_damage_and_no_torn_end(tmp_path: Path, of_frame: str) -> None:
    """It was taken for a torn end: thousands of items that were done were called again, without a word."""
    path = tmp_path / "journal"
    Journal.create(DISK, path)
    journal = Journal.open(DISK, path)
    ends = [path.stat().st_size]
    for number in range(4):
        journal.commit(array("Q", [number]), array("Q"), 10 * number, b"x", {})
        ends.append(path.stat().st_size)
    journal.close()
    whole = path.read_bytes()
    at = {"head": ends[1] + 5, "facts": ends[1] + 20, "body": ends[2] - 3}[of_frame]
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    damaged = path.read_bytes()
    with pytest.raises(RunRefused, match=f"damaged: the frame at byte {ends[1]}.*--fresh"):
        Journal.open(DISK, path)
    assert path.read_bytes() == damaged
    path.write_bytes(whole[: ends[4] - 1])
    torn = Journal.open(DISK, path)
    torn.close()
    assert torn.state.done.count == 3


def test_many_short_sessions_do_not_let_the_journal_grow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each took all frames that it found for the snapshot, so none that stopped early ever wrote it anew."""
    monkeypatch.setattr(journal_module, "COMPACT_BYTES", 1000)
    path = tmp_path / "journal"
    Journal.create(DISK, path)
    snapshot = path.stat().st_size
    for session in range(60):
        journal = Journal.open(DISK, path)
        for number in range(3):
            journal.commit(array("Q", [3 * session + number]), array("Q"), session, b"", {})
        journal.close()
        assert path.stat().st_size < snapshot + 1000 + 200
    journal = Journal.open(DISK, path)
    journal.close()
    assert journal.state.done.count == 180
