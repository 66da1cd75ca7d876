"""Opening a run: one order for all of them, and at whatever point it stops, the next start finds a run or none.

The run here is the smallest there can be: its files are a note of what it is of, a journal, and an output beside its
folder. It is stopped at each of its operations, by a kill and by power cuts.
"""

from __future__ import annotations

import ast
import contextlib
import random
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock import OutputError, RunLocked, RunRefused, UsageError
from penstock.runs.journal import Journal
from penstock.runs.json_lines import open_rows
from penstock.runs.opening import Opening, learn_fingerprint, open_run
from penstock.runs.run_folder import RunFolder
from penstock.runs.storage import DISK, AppendFile, Storage

from .simulated_storage import Crash, SimulatedStorage

SOURCES = Path(__file__).parents[2] / "src" / "penstock"


class Tiny:
    """A run of `of`: what it belongs to is in its note, and in each of its lines."""

    def __init__(self, of: str, note: bytes, journal: Journal, file: AppendFile) -> None:
        self.of = of
        self.note = note.decode()
        self.journal = journal
        self.file = file

    @property
    def done(self) -> int:
        return self.journal.state.done.count

    @property
    def lines(self) -> list[str]:
        return self.file.read(0, self.file.size()).decode().split()

    def work(self) -> None:
        line = f"{self.of}{self.done}\n".encode()
        self.file.append(line)
        self.file.sync()
        self.journal.commit(array("Q", [self.done]), array("Q"), self.file.size(), line, {})

    def close(self) -> None:
        self.file.close()
        self.journal.close()


def tiny(
    folder: Path, of: str, storage: Storage = DISK, *, fresh: bool = False, bad: bool = False
) -> contextlib.AbstractContextManager[Tiny]:
    """Open the run of `of` in `folder`; `bad` finds that it cannot begin."""
    out = folder / "out"

    def let_go(of_before: RunFolder) -> None:
        if out.exists() and out.stat().st_size:
            file = storage.open(out)
            file.truncate(0)
            file.sync()
            file.close()

    def open_it(opening: Opening) -> Tiny:
        there = opening.folder
        if out.exists() and out.stat().st_size and not there.begun():
            raise OutputError("is not ours")
        if opening.is_new(({"of": of}, {"secret": of}), later=("length",)):
            if bad:
                raise UsageError("bad")
            with opening.begin(let_go, length=len(of)):
                storage.write_new(there.path / "note", of.encode())
                Journal.create(storage, there.journal)
                storage.open(out).close()
        journal = Journal.open(storage, there.journal)
        note = (there.path / "note").read_bytes()
        return Tiny(of, note, journal, open_rows(storage, out, journal, name="lines"))

    return open_run(folder / "out.run", open_it, fresh=fresh, storage=storage)


def test_a_run_is_begun_once_and_then_taken_up(tmp_path: Path) -> None:
    """What was done is done; facts that only the survey knew are not asked for again."""
    with tiny(tmp_path, "one") as run:
        run.work()
        run.work()
    with tiny(tmp_path, "one") as run:
        assert (run.done, run.lines, run.note) == (2, ["one0", "one1"], "one")


def test_a_run_of_something_else_is_refused_unless_nothing_was_done(tmp_path: Path) -> None:
    """A first try with a wrong option does not stand in the way of the second; work that was done does."""
    with tiny(tmp_path, "wrong"):
        pass
    with tiny(tmp_path, "right") as run:
        assert (run.done, run.note) == (0, "right")
        run.work()
    with pytest.raises(RunRefused) as caught, tiny(tmp_path, "another"):
        pass
    assert set(caught.value.differs) == {"of", "secret"}
    with tiny(tmp_path, "right") as run:
        assert run.lines == ["right0"]
    with tiny(tmp_path, "another", fresh=True) as run:
        assert (run.done, run.lines, run.note) == (0, [], "another")


def test_what_cannot_begin_takes_nothing_away(tmp_path: Path) -> None:
    """The run before is whole after a --fresh that was refused."""
    with tiny(tmp_path, "one") as run:
        run.work()
    with pytest.raises(UsageError, match="bad"), tiny(tmp_path, "two", fresh=True, bad=True):
        pass
    with tiny(tmp_path, "one") as run:
        assert run.lines == ["one0"]


def test_one_process_at_a_time(tmp_path: Path) -> None:
    """The lock is held as long as the run is open, and let go with it, also after an error."""
    with tiny(tmp_path, "one"), pytest.raises(RunLocked), tiny(tmp_path, "one", fresh=True):
        pass
    with contextlib.suppress(ZeroDivisionError), tiny(tmp_path, "one"):
        _ = 1 / 0
    with tiny(tmp_path, "one"):
        pass


def test_a_file_that_may_not_be_touched_is_said_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the file, and that nothing was sent."""
    with tiny(tmp_path, "one") as run:
        run.work()

    def forbidden(path: Path, **options: Any) -> None:
        raise PermissionError(1, "Operation not permitted", str(path))

    monkeypatch.setattr(Path, "unlink", forbidden)
    said = r"run\.json: Operation not permitted; nothing was sent"
    with pytest.raises(OutputError, match=said), tiny(tmp_path, "one", fresh=True):
        pass


def test_what_was_found_to_be_the_run_is_the_run(tmp_path: Path) -> None:
    """A pull that was to find out how an API pages is from then on the same as the command that says it."""
    with tiny(tmp_path, "one") as run:
        run.work()
    with RunFolder.open(tmp_path / "out.run") as folder:
        learn_fingerprint(folder, ({"of": "two", "length": 3}, {"secret": "two"}))
    with tiny(tmp_path, "two") as run:
        assert run.done == 1


def stopped_at(storage: SimulatedStorage, steps: int, folder: Path, of: str, *, fresh: bool) -> bool:
    """Open the run, stopped after `steps` operations; returns whether it came to an end before that."""
    storage.steps = steps
    try:
        with tiny(folder, of, storage, fresh=fresh):
            return True
    except Crash:
        return False
    finally:
        storage.steps = None


def stops(folder: Path, power_cut: bool, of: str, *, before: bool, fresh: bool) -> Iterator[SimulatedStorage]:
    """A run of `of` that was stopped, for each operation of its opening, some with several power cuts."""
    for steps in range(200):
        for seed in range(4 if power_cut else 1):
            here = folder / f"{steps}-{seed}"
            here.mkdir()
            storage = SimulatedStorage(here, seed)
            if before:
                with tiny(here, "before", storage) as run:
                    for _ in range(3):
                        run.work()
            if stopped_at(storage, steps, here, of, fresh=fresh):
                return
            storage.crash(power_cut=power_cut)
            yield storage
    raise AssertionError("it has no end")


@pytest.mark.parametrize("power_cut", [False, True])
def test_a_beginning_that_is_stopped_begins_again(tmp_path: Path, power_cut: bool) -> None:
    """Whatever was written of it: the same command, and one with another option, work as on the first day."""
    count = 0
    for storage in stops(tmp_path, power_cut, "one", before=False, fresh=False):
        for of in random.Random(count).sample(["one", "two"], 2):
            with tiny(storage.folder, of, storage) as run:
                assert (run.done, run.lines, run.note) == (0, [], of)
        count += 1
    assert count > 10


@pytest.mark.parametrize("power_cut", [False, True])
def test_a_new_start_that_is_stopped_can_be_given_again(tmp_path: Path, power_cut: bool) -> None:
    """--fresh, stopped anywhere: the same command begins with nothing done, and knows its output for its own."""
    count = 0
    for storage in stops(tmp_path, power_cut, "one", before=True, fresh=True):
        with tiny(storage.folder, "one", storage, fresh=True) as run:
            assert (run.done, run.lines, run.note) == (0, [], "one")
            run.work()
        with tiny(storage.folder, "one", storage) as run:
            assert run.lines == ["one0"]
        count += 1
    assert count > 20


@pytest.mark.parametrize("power_cut", [False, True])
@pytest.mark.parametrize("of", ["before", "one"])
def test_a_new_start_that_is_stopped_leaves_one_run_or_none(tmp_path: Path, of: str, power_cut: bool) -> None:
    """Without --fresh afterwards: the run before as it was, or refused for its output is gone, or a new one.

    Never the new run with something of the one before, nor the one before with a part of what it had done.
    """
    for storage in stops(tmp_path, power_cut, of, before=True, fresh=True):
        for again in ("before", "one"):
            with contextlib.suppress(RunRefused), tiny(storage.folder, again, storage) as run:
                assert run.note == again
                assert run.lines == [f"before{number}" for number in range(run.done)]
                assert run.done in ((0, 3) if again == "before" else (0,))


def test_a_run_is_opened_in_one_place() -> None:
    """The lock of a run folder is taken, and its fingerprint compared and written, in `runs/opening.py` alone."""
    kept = {"write_fingerprint", "check_fingerprint"}
    found = set()
    for path in SOURCES.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            takes_lock = node.func.attr == "open" and ast.unparse(node.func.value) == "RunFolder"
            if takes_lock or node.func.attr in kept:
                found.add((path.relative_to(SOURCES).as_posix(), node.func.attr))
    assert found == {("runs/opening.py", name) for name in {"open"} | kept}
