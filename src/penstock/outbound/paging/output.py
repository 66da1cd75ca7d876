"""The output of `pull`: rows as JSON lines, exactly as often as the API has them, and the state to go on from."""

from __future__ import annotations

import contextlib
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...engine.counters import RunCounters
from ...engine.outcome import Outcome
from ...errors import BadBody, BadPage, PenstockError, UsageError
from ...rules.pagination.extent import PageKind
from ...runs.journal import Journal
from ...runs.json_lines import open_rows
from ...runs.storage import Storage
from .keys import SeenKeys
from .marks import MarkFile, PageMark
from .plan import PagePlan, Settled
from .reader import PageAnswer, PageReader, token_hash

_KEY_BYTES = 64
"""About what a key takes in memory until it is written."""

STATE = "pull"
"""Under this name the journal's counters hold what a pull needs to go on."""


class RowFile:
    """The files of one pull that grow with every commit: rows, marks, keys and the journal, which comes last."""

    def __init__(self, storage: Storage, rows: Path, folder: Path, journal: Journal, *, keyed: bool) -> None:
        """Open them and cut off what was not committed. Raises RunRefused if they are not what the journal says."""
        saved = journal.state.counters.get(STATE, {})
        self.journal = journal
        self.marks_count: int = saved.get("marks", 0)
        with contextlib.ExitStack() as opened:
            opened.callback(journal.close)
            self.file = open_rows(storage, rows, journal, name="rows")
            opened.callback(self.file.close)
            self.marks = MarkFile(storage, folder / "marks", self.marks_count)
            opened.callback(self.marks.close)
            self.keys = SeenKeys(folder / "keys.sqlite", saved.get("keys", 0)) if keyed else None
            if self.keys is not None:
                opened.callback(self.keys.close)
            self._opened = opened.pop_all()

    @property
    def saved(self) -> dict[str, Any]:
        """The counters of the last commit."""
        return self.journal.state.counters

    @property
    def kept_pause(self) -> dict[str, Any]:
        """Counters of nothing but the pause that an earlier session was told to keep."""
        until = self.saved.get("paused_until", 0.0)
        return RunCounters().as_json(0.0) | {"paused_until": until} if until else {}

    def keep_pause(self, until: float) -> None:
        """Also one that was told in answer to the first look, of which no counters are kept."""
        counters = RunCounters().as_json(0.0) | self.saved | {"paused_until": until}
        self.journal.commit(array("Q"), array("Q"), self.journal.state.output_size, b"", counters)

    def close(self) -> None:
        """Let them go; what was not committed is dropped."""
        self._opened.close()


class RowSink:
    """A Sink (see `drive`) that asks the plan which pages count, and keeps their rows.

    `feed` is called with the number of each page when the plan knows of it, and so what to ask for next.
    """

    def __init__(self, files: RowFile, plan: PagePlan, reader: PageReader, feed: Callable[[int], None]) -> None:
        self._files = files
        self._plan = plan
        self._reader = reader
        self._feed = feed
        self._clear()

    def _clear(self) -> None:
        self._pages: list[Settled] = []
        self._positions = array("Q")
        self.pending_bytes = 0

    def put(self, outcome: Outcome[Any, PageAnswer]) -> None:
        """Keep a page. Raises UsageError or PenstockError where the plan cannot go on."""
        answer = outcome.value
        if outcome.ok and answer is not None:
            settled = self._plan.answered(answer)
        else:
            if not self._plan.tally.is_beyond(outcome.position):
                _refuse(outcome, begun=self._plan.tally.begun)
            settled = self._plan.failed(outcome.item, outcome)
        for page, kind in settled:
            if kind is PageKind.REPEAT:
                page.lines = b""
            self._pages.append((page, kind))
            self._positions.append(page.number)
            self.pending_bytes += len(page.lines) + (0 if page.keys is None else _KEY_BYTES * len(page.keys))
        self._feed(outcome.position)

    def cut(self, counters: dict[str, Any]) -> RowCommit:
        """All pages since the last cut, as one commit.

        What failed is not done, so it does not count in what the next session goes on from.
        """
        counters.update(items=counters["items"] - counters["failed"], failed=0, by_kind={})
        state = {"plan": self._plan.as_json(), "rows_path": self._reader.rows_path}
        counters[STATE] = self._plan.tally.as_json() | state
        commit = RowCommit(self._files, self._plan, self._pages, self._positions, counters)
        self._clear()
        return commit


def _refuse(outcome: Outcome[Any, Any], *, begun: bool) -> None:
    """An answer that the options do not describe: going on would only meet the next one."""
    if isinstance(outcome.error, (BadPage, BadBody)):
        message = f"page {outcome.position + 1}: {outcome.message}"
        if not begun:
            raise UsageError(message) from outcome.error
        raise PenstockError(
            f"{message} (what came before is kept; the same command goes on from there)"
        ) from outcome.error


@dataclass(frozen=True, slots=True)
class RowCommit:
    """One group of pages on its way to disk."""

    files: RowFile
    plan: PagePlan
    pages: list[Settled]
    positions: array[int]
    counters: dict[str, Any]

    def write(self) -> None:
        """Write and sync rows, marks, keys, then the journal's frame, which makes them count. Raises StorageError."""
        files = self.files
        rows, marks = bytearray(), bytearray()
        for page, kind in self.pages:
            rows += self._new_rows(page) if files.keys is not None and page.lines else page.lines
            token = 0 if page.token is None else token_hash(page.token)
            marks += PageMark(page.number, page.digest, token, page.rows, kind).pack()
        self.pages.clear()
        if rows:
            files.file.append(rows)
            files.file.sync()
        files.marks.append(marks)
        if files.keys is not None:
            files.keys.commit()
        files.marks_count += len(self.positions)
        state = self.counters[STATE]
        state.update(marks=files.marks_count, keys=0 if files.keys is None else files.keys.count)
        tally = self.plan.tally
        state.update(duplicates=tally.duplicates, keyless=tally.keyless)
        files.journal.commit(self.positions, array("Q"), files.file.size(), rows, self.counters)

    def _new_rows(self, page: PageAnswer) -> bytes | bytearray:
        """The lines of the rows whose key was not written before."""
        keys = self.files.keys
        assert keys is not None
        assert page.keys is not None
        again = keys.add(page.keys)
        self.plan.tally.keyless += page.keys.count(None)
        self.plan.tally.duplicates += len(again)
        return _without(page.lines, again) if again else page.lines


def _without(lines: bytes | bytearray, places: Sequence[int]) -> bytes:
    dropped = set(places)
    every = bytes(lines).splitlines(keepends=True)
    return b"".join(line for place, line in enumerate(every) if place not in dropped)
