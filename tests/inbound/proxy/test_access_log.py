"""The access log on a disk that is full for a while."""

from __future__ import annotations

import errno
import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from penstock.clock import current_clock
from penstock.inbound.proxy.access_log import AccessLog
from penstock.testing import run_virtual


class _Disk(io.FileIO):
    """Has `room` for so many bytes; then a write is short, and the next one fails."""

    room = 1 << 30

    def write(self, data: Any) -> int:
        """As a file system that fills up."""
        size = min(len(data), type(self).room)
        if not size:
            raise OSError(errno.ENOSPC, "No space left on device")
        type(self).room -= size
        return super().write(bytes(data[:size]))


@pytest.mark.parametrize("room", [0, 1, 70, 133, 150])
def test_a_full_disk_glues_no_line_to_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, room: int
) -> None:
    """A short write was taken for a whole one, and what came when there was room again followed it on its line."""
    monkeypatch.setattr("penstock.inbound.proxy.access_log.io", SimpleNamespace(FileIO=_Disk))
    path = tmp_path / "access.log"

    async def main() -> None:
        log = AccessLog(current_clock(), path)
        for status, free in ((200, 1 << 30), (201, room), (202, 0), (203, 1 << 30), (204, 1 << 30)):
            _Disk.room = free
            for _ in range(4):
                log.answered(None, status, 0, "192.0.2.1")
            log.flush()
        log.close()
        assert log.lost == 8

    run_virtual(main())
    found = []
    for line in path.read_bytes().splitlines():
        try:
            found.append(orjson.loads(line)["status"])
        except orjson.JSONDecodeError:
            found.append(0)
    assert found.count(0) <= 1, "the torn line stands alone"
    assert [each for each in found if each not in (0, 201)] == [200] * 4 + [203] * 4 + [204] * 4
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert "loses lines: No space left on device" in said[0]
    assert "written again; at most 8 lines were lost" in said[1]
