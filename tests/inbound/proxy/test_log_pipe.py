"""The access log on a pipe whose reader is slow, or reads nothing: once, that stopped the proxy for all."""

from __future__ import annotations

import asyncio
import os
import select
import threading
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from penstock.clock import current_clock
from penstock.errors import OutputError
from penstock.inbound.proxy.access_log import AccessLog
from penstock.inbound.proxy.log_pipe import LogPipe

from .real_tools import run_real

pytestmark = pytest.mark.real

MANY = 60_000
"""Lines, of more than the 4 MiB that may wait."""


@pytest.fixture
def ends() -> Iterator[list[int]]:
    """A pipe: where it is read, where it is written."""
    pair = [*os.pipe()]
    yield pair
    for fd in pair:
        os.close(fd)


def read_all(fd: int) -> bytes:
    """What is in the pipe now."""
    os.set_blocking(fd, False)
    found = b""
    try:
        while data := os.read(fd, 1 << 20):
            found += data
    except BlockingIOError:
        pass
    os.set_blocking(fd, True)
    return found


def test_a_pipe_that_nobody_reads_costs_lines_and_no_time(ends: list[int], caplog: pytest.LogCaptureFixture) -> None:
    """What was taken comes whole once it is read, and the lines that come then follow on a line end."""
    read, write = ends
    found = b""

    async def main() -> None:
        nonlocal found
        log = AccessLog(current_clock(), fd=write)
        for _ in range(MANY):
            log.answered(None, 200, 0, "192.0.2.1")
        assert log.lost > 0
        kept = MANY - log.lost
        while found.count(b"\n") < kept:
            found += read_all(read)
            await asyncio.sleep(0)
        log.answered(None, 201, 0, "192.0.2.1")
        log.flush()
        found += read_all(read)
        log.close()
        statuses = [orjson.loads(line)["status"] for line in found.splitlines()]
        assert statuses == [200] * kept + [201]

    run_real(main)
    said = [record.getMessage() for record in caplog.records if "access log" in record.getMessage()]
    assert len(said) == 2
    assert "loses lines: who reads it does not keep up" in said[0]
    assert "written again" in said[1]


def test_nobody_waits_for_a_reader_at_the_end_for_long(ends: list[int]) -> None:
    """And what could not be written is counted."""

    async def main() -> None:
        log = AccessLog(current_clock(), fd=ends[1])
        for _ in range(2000):
            log.answered(None, 200, 0, "192.0.2.1")
        began = current_clock().now()
        log.close()
        assert current_clock().now() - began < 5
        written = read_all(ends[0]).count(b"\n")
        assert written > 0
        assert log.lost + written in (2000, 1999), "one may be torn"

    run_real(main)


def test_a_reader_that_has_gone_is_told_of(ends: list[int]) -> None:
    """Of what had been taken already, too."""
    read, write = os.pipe()

    async def main() -> None:
        lost: list[tuple[int, str]] = []
        pipe = LogPipe(write, current_clock().now, lambda lines, error: lost.append((lines, type(error).__name__)))
        pipe.write(b"x\n" * 100_000)
        os.close(read)
        async with asyncio.timeout(5):
            while not lost:
                await asyncio.sleep(0)
        assert lost[0][0] > 10_000
        assert lost[0][1] == "BrokenPipeError"
        with pytest.raises(BrokenPipeError):
            pipe.write(b"x\n")
        pipe.close(0.0)
        os.close(write)

    run_real(main)


def test_a_reader_that_is_only_slow_gets_all(ends: list[int]) -> None:
    read, write = ends
    parts: list[bytes] = []

    def reader() -> None:
        while data := os.read(read, 3000):
            parts.append(data)

    thread = threading.Thread(target=reader)

    async def main() -> None:
        mine = os.dup(write)
        log = AccessLog(current_clock(), fd=mine)
        for turn in range(20):
            for _ in range(1000):
                log.answered(None, 200 + turn, 0, "192.0.2.1")
            await asyncio.sleep(0.01)
        log.close()
        assert log.lost == 0
        os.write(mine, b"end\n")
        os.close(mine)

    thread.start()
    run_real(main)
    os.close(write)
    ends[1] = os.open(os.devnull, os.O_WRONLY)
    thread.join(10)
    lines = b"".join(parts).splitlines()
    assert len(lines) == 20_001


def test_a_named_pipe_that_nobody_reads_is_refused(tmp_path: Path) -> None:
    """To open it would wait for a reader, for ever."""
    os.mkfifo(tmp_path / "log")

    async def main() -> None:
        with pytest.raises(OutputError, match="cannot be opened"):
            AccessLog(current_clock(), tmp_path / "log")

    run_real(main)


def test_several_processes_write_whole_lines_to_one_pipe(ends: list[int]) -> None:
    """Each finds room in turn, and what one writes comes between what the others do."""
    read, write = ends
    counts = dict.fromkeys(b"abc", 0)
    waits = 0

    async def main() -> None:
        nonlocal waits
        fds = {each: os.dup(write) for each in counts}
        pipes = {each: LogPipe(fd, current_clock().now, lambda lines, error: None) for each, fd in fds.items()}
        for each, pipe in pipes.items():
            pipe.write(b"".join(bytes((each,)) * (1 + number % 300) + b"\n" for number in range(1000)))
        found = b""
        while found.count(b"\n") < 3000:
            if select.select([read], [], [], 0)[0]:
                waits += 1
                found += os.read(read, 4096)
            await asyncio.sleep(0)
        for line in found.splitlines():
            assert len(set(line)) == 1, "a line of two processes"
            counts[line[0]] += 1
        for each, pipe in pipes.items():
            pipe.close(0.0)
            os.close(fds[each])

    run_real(main)
    assert set(counts.values()) == {1000}
    assert waits > 10


def test_who_finds_that_another_process_took_the_room_does_not_wait(
    ends: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the question whether there is room and the write; nobody reads, so it would wait for ever."""
    read, write = ends

    async def main() -> None:
        pipe = LogPipe(write, current_clock().now, lambda lines, error: None)
        other = os.dup(write)
        asked = pipe._poll.poll

        class Late:
            def poll(self, timeout: float) -> object:
                room = asked(timeout)
                while select.select([], [other], [], 0)[1]:
                    os.write(other, b"x" * 4096)
                return room

        monkeypatch.setattr(pipe, "_poll", Late())
        rescue = threading.Timer(5, lambda: os.read(read, 1 << 20))
        rescue.start()
        began = current_clock().now()
        pipe.write(b"line\n")
        took = current_clock().now() - began
        rescue.cancel()
        assert took < 2
        monkeypatch.undo()
        found = read_all(read)
        while not found.endswith(b"line\n"):
            await asyncio.sleep(0)
            found += read_all(read)
        pipe.close(0.0)
        os.close(other)

    run_real(main)
