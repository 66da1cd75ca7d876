"""Opening runs of `send`: a start that is killed at any write, or refused, is in the way of no other."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock import InputError, RunRefused
from penstock.engine.outcome import Answer, Item, Outcome
from penstock.outbound.request_template import RequestTemplate
from penstock.outbound.send import SendJob, SendRun, open_send
from penstock.runs.storage import Disk

STEPS = ("open", "write_new", "replace", "remove")


class Killed(BaseException):
    """The process ends here."""


def job(out: Path, source: Path | None = None, **options: Any) -> SendJob:
    return SendJob(source, out, RequestTemplate("http://127.0.0.1:9/n", "POST"), **options)


def send_all(run: SendRun) -> None:
    """What carrying it out leaves on disk, without a call."""
    for position in range(run.total):
        run.output.put(outcome(position))
    run.output.cut({}).write()


def outcome(position: int) -> Outcome[Any, Answer]:
    return Outcome(Item(position, None), ok=True, value=Answer(200, position))


def killed_at(patch: pytest.MonkeyPatch, step: int) -> None:
    """The storage ends the process before its operation number `step`."""
    left = iter(range(step))

    def stopping(method: Callable[..., Any]) -> Callable[..., Any]:
        def stepped(*arguments: Any) -> Any:
            if next(left, None) is None:
                raise Killed
            return method(*arguments)

        return stepped

    for name in STEPS:
        patch.setattr(Disk, name, stopping(getattr(Disk, name)))


def every_kill(monkeypatch: pytest.MonkeyPatch, started: Callable[[Path], Any], folder: Path) -> Iterator[Path]:
    """Folders in which `started` was killed, one for each operation of the storage that it makes."""
    for step in range(100):
        here = folder / str(step)
        here.mkdir()
        with monkeypatch.context() as patch:
            try:
                started(here)(patch, step)
            except Killed:
                pass
            else:
                return
        yield here


@pytest.mark.parametrize("name", ["out.jsonl", "out.csv"])
def test_a_fresh_start_that_is_killed_can_be_given_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The output of the run before was ours, and is not taken for the file of somebody else."""
    source = tmp_path / "items.jsonl"
    source.write_text('{"n": 1}\n{"n": 2}\n')

    def started(here: Path) -> Callable[[pytest.MonkeyPatch, int], None]:
        with open_send(job(here / name, source)) as run:
            send_all(run)
            run.write_table()

        def again(patch: pytest.MonkeyPatch, step: int) -> None:
            killed_at(patch, step)
            with open_send(job(here / name, source, fresh=True)):
                pass

        return again

    count = 0
    for here in every_kill(monkeypatch, started, tmp_path):
        with open_send(job(here / name, source, fresh=True)) as run:
            assert run.output.done.count == 0
            send_all(run)
        with open_send(job(here / name, source)) as run:
            assert run.output.done.count == run.total == 2
            assert len(run.rows.read_text().splitlines()) == 2
        count += 1
    assert count > 8


def piped(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))


def test_a_fresh_start_with_a_bad_pipe_costs_nothing_of_the_run_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its input is still there, so that it can go on: what was piped in counts when the new run can begin."""
    out = tmp_path / "out.jsonl"
    piped(monkeypatch, '{"n": 1}\n{"n": 2}\n')
    with open_send(job(out)) as run:
        run.output.put(outcome(0))
        run.output.cut({}).write()
    piped(monkeypatch, '{"n": 1}\nnot JSON\n')
    with pytest.raises(InputError, match="JSON"), open_send(job(out, fresh=True)):
        pass
    for text in ("", '{"n": 1}\n{"n": 2}\n'):
        piped(monkeypatch, text)
        with open_send(job(out)) as run:
            assert (run.output.done.count, run.total) == (1, 2)
    piped(monkeypatch, '{"n": 3}\n')
    with pytest.raises(RunRefused, match="standard input differs"), open_send(job(out)):
        pass
    piped(monkeypatch, '{"n": 3}\n')
    with open_send(job(out, fresh=True)) as run:
        assert (run.output.done.count, run.total) == (0, 1)
        assert run.records.path.read_text() == '{"n": 3}\n'


def test_a_run_of_a_file_goes_on_with_the_same_piped_in_and_then_with_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was piped in is kept as the input, whatever the run had begun with."""
    source, out, text = tmp_path / "items.jsonl", tmp_path / "out.jsonl", '{"n": 1}\n{"n": 2}\n'
    source.write_text(text)
    with open_send(job(out, source)) as run:
        run.output.put(outcome(0))
        run.output.cut({}).write()
    for piped_in in (text, ""):
        piped(monkeypatch, piped_in)
        with open_send(job(out)) as run:
            assert (run.output.done.count, run.total) == (1, 2)
            assert run.records.path.read_text() == text


def test_an_output_that_is_a_link_stays_one(tmp_path: Path) -> None:
    """--fresh empties what it leads to: the other disk was chosen for its room."""
    source, out, elsewhere = tmp_path / "items.jsonl", tmp_path / "out.jsonl", tmp_path / "elsewhere"
    source.write_text('{"n": 1}\n')
    out.symlink_to(elsewhere)
    for fresh in (False, True):
        with open_send(job(out, source, fresh=fresh)) as run:
            assert elsewhere.stat().st_size == 0
            send_all(run)
    assert out.is_symlink()
    assert os.stat(elsewhere).st_size > 0
