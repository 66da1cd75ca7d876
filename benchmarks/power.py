"""Power cuts, played: the journal and the output over a disk that forgets what was not synced, cut at any operation."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from pathlib import Path

from .report import Report

ITEMS = 400


class PowerCut(Exception):
    """The power went."""


@dataclass
class _Content:
    durable: bytes = b""
    now: bytes = b""


@dataclass
class ForgetfulDisk:
    """A `Storage`. At a cut an unsynced file keeps any part of what was done to it since its last sync."""

    rng: random.Random
    files: dict[Path, _Content] = field(default_factory=dict)
    left: int = 1 << 60
    """Operations until the power goes."""

    def step(self) -> None:
        """One operation; it may be the last."""
        self.left -= 1
        if self.left < 0:
            raise PowerCut

    def open(self, path: Path) -> _File:
        """See Storage."""
        self.step()
        self.files.setdefault(path, _Content())
        return _File(self, path)

    def write_new(self, path: Path, data: bytes) -> None:
        """See Storage."""
        part = path.with_name(path.name + ".part")
        self.files[part] = _Content()
        file = self.open(part)
        file.append(data)
        file.sync()
        self.replace(part, path)

    def replace(self, source: Path, target: Path) -> None:
        """Atomic; a cut in the middle leaves either the one or the other."""
        try:
            self.step()
        except PowerCut:
            if self.rng.random() < 0.5:
                self.files[target] = self.files.pop(source)
            raise
        self.files[target] = self.files.pop(source)

    def remove(self, path: Path) -> None:
        """See Storage."""
        self.step()
        self.files.pop(path, None)

    def cut(self) -> None:
        """What is found after the power came back."""
        for content in self.files.values():
            content.durable = content.now = self._torn(content)

    def _torn(self, content: _Content) -> bytes:
        durable, now = content.durable, content.now
        if not now.startswith(durable):
            return durable if self.rng.random() < 0.5 else now
        rest = bytearray(now[len(durable) :])
        del rest[self.rng.randint(0, len(rest)) :]
        if rest and self.rng.random() < 0.3:
            # The length was written and the blocks were not: zeros, or what lay there before.
            at = self.rng.randrange(len(rest))
            rest[at:] = bytes(len(rest) - at) if self.rng.random() < 0.5 else self.rng.randbytes(len(rest) - at)
        return durable + bytes(rest)


@dataclass
class _File:
    disk: ForgetfulDisk
    path: Path

    def _content(self) -> _Content:
        return self.disk.files[self.path]

    def size(self) -> int:
        return len(self._content().now)

    def append(self, data: bytes | bytearray) -> None:
        content = self._content()
        try:
            self.disk.step()
        except PowerCut:
            content.now += data[: self.disk.rng.randint(0, len(data))]
            raise
        content.now += data

    def truncate(self, size: int) -> None:
        self.disk.step()
        self._content().now = self._content().now[:size]

    def read(self, offset: int, length: int) -> bytes:
        return self._content().now[offset : offset + length]

    def sync(self) -> None:
        self.disk.step()
        self._content().durable = self._content().now

    def close(self) -> None:
        """Nothing to do."""


class CommittedAndGone(Exception):
    """A record whose commit had returned is not there after a cut."""


@dataclass
class Cuts:
    """What all runs came to."""

    cuts: int = 0
    runs: int = 0
    lost: int = 0
    doubled: int = 0
    refused: list[str] = field(default_factory=list)


def one_run(seed: int, cuts: Cuts) -> None:
    """One run of ITEMS items that meets one power cut after the other, and its judgement."""
    import orjson

    from penstock.runs import journal as journals

    rng = random.Random(seed)
    disk = ForgetfulDisk(rng)
    out, path = Path("/out.jsonl"), Path("/journal")
    journals.Journal.create(disk, path)
    disk.open(out).sync()
    promised: set[int] = set()
    while True:
        disk.left = rng.randint(1, 60) if rng.random() < 0.97 else 1 << 60
        try:
            _session(disk, out, path, rng, promised)
            break
        except PowerCut:
            cuts.cuts += 1
            disk.cut()
        except Exception as error:  # noqa: BLE001 - whatever it is, the run cannot go on
            cuts.refused.append(f"seed {seed}: {type(error).__name__}: {error}")
            return
    cuts.runs += 1
    keys = [orjson.loads(line)["key"] for line in disk.files[out].now.splitlines()]
    cuts.lost += ITEMS - len(set(keys))
    cuts.doubled += len(keys) - len(set(keys))


def _session(disk: ForgetfulDisk, out: Path, path: Path, rng: random.Random, promised: set[int]) -> None:
    from penstock.engine.outcome import Answer, Item, Outcome
    from penstock.runs.journal import Journal
    from penstock.runs.json_lines import JsonLinesOutput

    output = JsonLinesOutput.open(disk, out, Journal.open(disk, path))
    forgotten = [position for position in promised if position not in output.done]
    if forgotten:
        raise CommittedAndGone(f" and then gone: {forgotten[:5]}")
    todo = [position for position in range(ITEMS) if position not in output.done]
    rng.shuffle(todo)
    while todo:
        group = [todo.pop() for _ in range(min(len(todo), rng.randint(1, 40)))]
        for position in group:
            item: Item[int] = Item(position, position)
            item.attempts = 1
            ok = rng.random() < 0.9
            value = Answer(200, "x" * rng.randint(0, 200)) if ok else None
            output.put(Outcome(item, ok=ok, value=value, kind="" if ok else "http_5xx"))
        output.cut({"items": position}).write()
        promised.update(group)


def measure(report: Report, cuts_wanted: int, seed: int = 0) -> None:
    """Play until so many cuts."""
    from penstock.runs import journal as journals

    compact = journals.COMPACT_BYTES
    # Compaction is the most delicate moment; with 4 MiB it would never come.
    journals.COMPACT_BYTES = 1500
    cuts = Cuts()
    began = time.monotonic()
    try:
        while cuts.cuts < cuts_wanted and time.monotonic() - began < 600:
            seed += 1
            one_run(seed, cuts)
    finally:
        journals.COMPACT_BYTES = compact
    report.table(
        f"Simulated power cuts, {ITEMS} items a run, journal compacted every 1,500 B",
        ("cuts", "runs", "records lost", "doubled", "runs that could not go on"),
        [(f"{cuts.cuts:,}", cuts.runs, cuts.lost, cuts.doubled, len(cuts.refused))],
    )
    clean = cuts.cuts >= cuts_wanted and not (cuts.lost or cuts.doubled or cuts.refused)
    stuck = f"{len(cuts.refused)} runs that could not go on {' '.join(cuts.refused[:3])}"
    measured = f"{cuts.cuts:,} cuts: {cuts.lost} lost, {cuts.doubled} doubled, {stuck}"
    what = f"{cuts_wanted:,} power cuts of send's output and journal"
    report.goal(what, "0 lost, 0 doubled, all go on", measured, clean)
