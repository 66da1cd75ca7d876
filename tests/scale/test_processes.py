"""What one process of several is told to do, and does."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest

from penstock import RunRefused
from penstock.outbound.request_template import RequestBuilder, RequestTemplate
from penstock.outbound.send import SendJob, open_send
from penstock.rules.limits.rate import Limit
from penstock.runs.flow import Flow
from penstock.scale.local.child import _RangeSource
from penstock.scale.local.frames import FrameWriter, Task
from penstock.scale.local.run import _task


class Nobody:
    """A parent that listens to nothing."""

    def write(self, facts: dict[str, Any], blob: bytes = b"") -> None:
        """Drop it."""


def task_of(folder: Path, records: int, limits: tuple[Limit, ...] = ()) -> Task:
    """The task of the first of two processes over so many records."""
    source = folder / "items.jsonl"
    source.write_text("".join(f'{{"n": {number}}}\n' for number in range(records)))
    template = RequestTemplate(url="http://127.0.0.1:9/")
    with open_send(SendJob(source, folder / "out.jsonl", template, Flow())) as run:
        return _task(run, RequestBuilder(template), list(limits), 0, 2)


def positions(task: Task, begin: int, end: int) -> list[int]:
    """Of the records that a process with `task` reads when it is given this range."""

    async def read() -> list[int]:
        source = _RangeSource(task, cast("FrameWriter", Nobody()))
        source.ranges.put_nowait((begin, end, b""))
        source.ranges.put_nowait(None)
        return [item.position async for batch in source.batches() for item in batch]

    return asyncio.run(read())


def test_a_range_is_read_from_its_first_record_to_its_last(tmp_path: Path) -> None:
    """No more and no less, also at the end of the input."""
    task = task_of(tmp_path, 50)
    assert positions(task, 10, 20) == list(range(10, 20))
    assert positions(task, 45, 50) == list(range(45, 50))


@pytest.mark.parametrize("text", ['{"n": 0}\n' * 47, '{"n": 1}\n' * 50])
def test_an_input_that_became_another_ends_the_run(tmp_path: Path, text: str) -> None:
    """What is not there any more can never be done, and what is there in its place is nothing that was asked for."""
    task = task_of(tmp_path, 50)
    task.source.write_text(text)
    with pytest.raises(RunRefused, match="was changed"):
        positions(task, 45, 50)


def test_what_was_sent_before_is_charged_by_the_parent_alone(tmp_path: Path) -> None:
    """The folder of a process of an earlier session says nothing about sends that the parent has counted already."""
    folder = task_of(tmp_path, 5).folder
    (folder / "limit-@run-a-100-60.log").touch()
    assert task_of(tmp_path, 5, (Limit(10, 1.0, "run-a-10-1"),)).folder == folder
    assert list(folder.iterdir()) == []
