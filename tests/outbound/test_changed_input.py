"""An input that is changed between two sessions, or while one reads it, is refused and never sent as if it were not.

The fingerprint took samples: of 12 MB with two lines swapped, one done and one not, the run ended well, with one record
lost and one called twice.
"""

from __future__ import annotations

import asyncio
import os
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from penstock import RunRefused
from penstock.engine.outcome import Answer, Item, Outcome
from penstock.outbound import checked_file
from penstock.outbound.check import CheckJob, open_check
from penstock.outbound.checked_file import BLOCK_BYTES
from penstock.outbound.request_template import RequestTemplate
from penstock.outbound.send import SendJob, open_send
from penstock.outbound.vectors.source import VectorSource
from penstock.rules.census.finding import Finding

COUNT = 9_000
DONE = 5_000
Change = Callable[[bytes], bytes]


def line_of(number: int, suffix: str) -> bytes:
    pad = "x" * (980 if suffix == ".jsonl" else 992)
    return (f'{{"n":{number:05},"p":"{pad}"}}\n' if suffix == ".jsonl" else f"{number:05},{pad}\n").encode()


def text_of(suffix: str) -> bytes:
    head = b"n,p\n" if suffix == ".csv" else b""
    return head + b"".join(line_of(number + 10_000, suffix) for number in range(COUNT))


def swapped(first: int, second: int) -> Change:
    """Two records change places, both where no sample was taken."""

    def change(data: bytes) -> bytes:
        lines = data.splitlines(keepends=True)
        head = len(lines) - COUNT
        lines[head + first], lines[head + second] = lines[head + second], lines[head + first]
        return b"".join(lines)

    return change


def at(place: float) -> int:
    """A record near this part of the file that lies where the fingerprint takes no sample."""
    size = len(line_of(10_000, ".csv"))
    step = size * COUNT // 64
    return (int(64 * place) * step + BLOCK_BYTES) // size + 35


CHANGES: dict[str, Change] = {
    "a done one and one that is not": swapped(at(0.2), at(0.8)),
    "two done ones": swapped(at(0.2), at(0.3)),
    "two that are not done": swapped(at(0.8), at(0.9)),
    "a done one edited": lambda data: data.replace(str(10_000 + at(0.2)).encode(), b"77777"),
    "one that is not done edited": lambda data: data.replace(str(10_000 + at(0.8)).encode(), b"77777"),
    "appended": lambda data: data + data[-995:],
    "cut": lambda data: data[: -len(data) // 3],
    "replaced": lambda data: data.replace(b"x", b"y"),
}


def begun(tmp_path: Path, suffix: str) -> SendJob:
    """A run of which the first DONE records are done."""
    source = tmp_path / f"items{suffix}"
    source.write_bytes(text_of(suffix))
    job = SendJob(source, tmp_path / "out.jsonl", RequestTemplate("http://127.0.0.1:9/n", "POST"))
    with open_send(job) as run:
        for position in range(DONE):
            run.output.put(Outcome(Item[Any](position, None), ok=True, value=Answer(200, position)))
        run.output.cut({}).write()
    return job


def read_all(job: SendJob, while_open: Callable[[], None] = lambda: None) -> list[int]:
    """The positions that a session would send, to where it is refused."""
    found: list[int] = []

    async def read() -> None:
        with open_send(job) as run:
            while_open()
            done = run.output.done
            async for batch in run.records.stream(run.index, done, done.base).batches():
                found.extend(item.position for item in batch)

    try:
        asyncio.run(read())
    except RunRefused as error:
        raise RunRefused(f"{error} after {len(found)}", differs=error.differs) from error
    return found


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_every_change_between_sessions_is_refused_before_anything_is_sent(tmp_path: Path, suffix: str) -> None:
    """Also one that no sample sees, also one of done records only; with the old content the run goes on."""
    job = begun(tmp_path, suffix)
    assert job.source is not None
    whole, before = job.source.read_bytes(), job.out.read_bytes()
    for name, change in CHANGES.items():
        assert change(whole) != whole, name
        job.source.write_bytes(change(whole))
        with pytest.raises(RunRefused, match="belongs to another run: input differs"), open_send(job):
            pass
        assert job.out.read_bytes() == before, name
    job.source.write_bytes(whole)
    assert read_all(job) == list(range(DONE, COUNT))


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
@pytest.mark.parametrize("name", ["a done one and one that is not", "one that is not done edited", "cut", "replaced"])
def test_a_change_under_the_eyes_of_a_session_is_not_sent(tmp_path: Path, suffix: str, name: str) -> None:
    """The run was opened, and then the file is written to in place: its block is refused, those before are not."""
    job = begun(tmp_path, suffix)
    assert job.source is not None
    changed = CHANGES[name](job.source.read_bytes())
    with pytest.raises(RunRefused, match="was changed since this run read it first") as refused:
        read_all(job, lambda: write_in_place(job.source, changed))
    assert refused.value.differs == ("input",)
    sent = int(str(refused.value).rsplit(" ", 1)[1])
    assert sent <= (at(0.8) - DONE if name != "replaced" else 0) or name == "cut"


def write_in_place(path: Path | None, data: bytes) -> None:
    assert path is not None
    with path.open("r+b") as file:
        file.write(data)
        file.truncate()


def test_a_file_system_that_keeps_no_times_hides_no_swap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The times only save a reading: without them the block that is read again tells."""
    monkeypatch.setattr(checked_file, "look", lambda path: (1, path.stat().st_size, 1, 1))
    monkeypatch.setattr("penstock.outbound.records.look", lambda path: (1, path.stat().st_size, 1, 1))
    job = begun(tmp_path, ".jsonl")
    assert job.source is not None
    job.source.write_bytes(CHANGES["a done one and one that is not"](job.source.read_bytes()))
    with pytest.raises(RunRefused, match="was changed"):
        read_all(job)


def test_what_grows_during_a_run_ends_where_it_ended(tmp_path: Path) -> None:
    """Records beyond the survey are no records of the run: there were more outcomes than items."""
    job = begun(tmp_path, ".jsonl")
    assert job.source is not None
    source = job.source

    def grow() -> None:
        with source.open("ab") as file:
            file.write(line_of(1, ".jsonl"))

    assert read_all(job, grow) == list(range(DONE, COUNT))


def test_a_file_that_is_written_to_while_it_is_surveyed_is_refused(tmp_path: Path) -> None:
    """Nothing is begun: what was read could be half of one state and half of another."""
    source = tmp_path / "items.jsonl"
    source.write_bytes(text_of(".jsonl"))
    job = SendJob(source, tmp_path / "out.jsonl", RequestTemplate("http://127.0.0.1:9/n", "POST"))

    def reading(records: int, size: int) -> None:
        with source.open("ab") as file:
            file.write(b"1\n")

    with pytest.raises(RunRefused, match="was changed while it was read"), open_send(job, reading):
        pass
    with open_send(job) as run:
        assert run.total > COUNT


def test_the_same_content_in_another_file_is_the_same_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copied or touched, it is read once, found right, and not read again at the next start."""
    job = begun(tmp_path, ".jsonl")
    assert job.source is not None
    copy = tmp_path / "copy"
    copy.write_bytes(job.source.read_bytes())
    copy.replace(job.source)
    os.utime(job.source, (1, 1))
    read: set[int] = set()
    block = checked_file.CheckedFile.block

    def seen(self: checked_file.CheckedFile, number: int) -> bytes:
        read.add(number)
        return block(self, number)

    monkeypatch.setattr(checked_file.CheckedFile, "block", seen)
    with open_send(job):
        assert len(read) == -(-job.source.stat().st_size // BLOCK_BYTES)
    read.clear()
    with open_send(job):
        assert len(read) <= 1


def test_a_run_of_a_release_without_digests_goes_on_and_has_them_from_then_on(tmp_path: Path) -> None:
    """It goes on with the check that it was begun with, and is held to what it is now."""
    job = begun(tmp_path, ".jsonl")
    assert job.source is not None
    (tmp_path / "out.jsonl.run" / "input.digests").unlink()
    assert read_all(job) == list(range(DONE, COUNT))
    job.source.write_bytes(CHANGES["two done ones"](job.source.read_bytes()))
    with pytest.raises(RunRefused, match="input differs"):
        read_all(job)


@pytest.mark.parametrize("place", [0, 20, -1])
def test_damaged_digests_are_not_taken_for_a_changed_input(tmp_path: Path, place: int) -> None:
    """They say what to do, and nothing is lost."""
    job = begun(tmp_path, ".jsonl")
    path = tmp_path / "out.jsonl.run" / "input.digests"
    data = bytearray(path.read_bytes())
    data[place] ^= 0x10
    path.write_bytes(data)
    with pytest.raises(RunRefused, match=r"input.digests is damaged.*remove that file.*--fresh"), open_send(job):
        pass
    path.unlink()
    assert read_all(job) == list(range(DONE, COUNT))


# -- vectors ----------------------------------------------------------------------------------------------------------


def vectors_at(path: Path, item: str = "float32") -> CheckJob:
    """A census of 8 MB of vectors in the format that the ending says."""
    rows = np.random.default_rng(1).integers(0, 200, (16_000 if item == "float32" else 64_000, 128)).astype(item)
    options: dict[str, Any] = {}
    if path.suffix == ".npy":
        np.save(path, rows)
    elif path.suffix == ".raw":
        rows.tofile(path)
        options = {"format": "raw", "dim": 128}
    elif path.suffix == ".u8bin":
        path.write_bytes(array("I", rows.shape).tobytes() + rows.tobytes())
    elif path.suffix == ".parquet":
        pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        column = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), 128)
        plain = {"compression": "none", "use_dictionary": False, "row_group_size": 4096}
        parquet.write_table(pa.table({"v": column}), path, **plain)
    else:
        with pytest.importorskip("h5py").File(path, "w") as file:
            file["train"] = rows
    return CheckJob(path, path.parent / "census", "http://127.0.0.1:9/", **options)


ITEMS = {"npy": "float32", "raw": "float32", "u8bin": "uint8", "parquet": "float32", "h5": "float32"}


def read_vectors(source: VectorSource) -> None:
    for start in range(0, source.count, 256):
        source.read(start, min(256, source.count - start))


@pytest.mark.parametrize("ending", ITEMS)
def test_vectors_that_were_changed_are_refused(tmp_path: Path, ending: str) -> None:
    """Between two sessions by whatever opens the census, and in the middle of one by the read of the block."""
    job = vectors_at(tmp_path / f"v.{ending}", ITEMS[ending])
    with open_check(job) as census:
        census._scoreboard.put(0, 1.0, 1, 0, Finding.SELF, 1, 200)
        census._scoreboard.commit()
    data = job.source.read_bytes()
    place = (len(data) - BLOCK_BYTES) * 31 // 63 + BLOCK_BYTES + 20_000
    flipped = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
    job.source.write_bytes(flipped)
    with pytest.raises(RunRefused, match="input differs"), open_check(job):
        pass
    job.source.write_bytes(data)
    with open_check(job) as census:
        read_vectors(census._source)
        write_in_place(job.source, flipped)
        with pytest.raises(RunRefused, match="was changed since this run read it first"):
            read_vectors(census._source)
