"""What a run in several processes says over its pipes: frames of a few facts as JSON and, where need be, bytes.

To a process: first its `Task`, then `{"range": [begin, end]}` with the positions in it that are done already, or
`{"pause": seconds since the epoch}`, or `{"end": true}`. From it: `{"want": true}` for one more range,
`{"now": ...}` with its counters, `{"commit": ...}` with records, and at last `{"end": ...}`.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import struct
import threading
from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from ...outbound.checked_file import Digests
from ...outbound.send import SendJob
from ...runs.flow import Flow

_HEAD = struct.Struct("<QQ")


@dataclass(frozen=True, slots=True)
class Task:
    """What a process is to do: the job, with its own share of the flow, and what is known of the input."""

    job: SendJob
    flow: Flow
    source: Path
    format: str
    index: bytes
    digests: Digests
    parse: bool
    run_id: str
    folder: Path

    def frame(self) -> bytes:
        """As it goes over the pipe, which nobody else can write to."""
        return frame({}, pickle.dumps(self))

    @classmethod
    def read(cls, blob: bytes) -> Task:
        """The inverse of `frame`."""
        task = pickle.loads(blob)  # noqa: S301  # from our parent, over its pipe
        assert isinstance(task, cls)
        return task


def frame(facts: dict[str, Any], blob: bytes | bytearray = b"") -> bytes:
    """One frame."""
    head = orjson.dumps(facts)
    return _HEAD.pack(len(head), len(blob)) + head + blob


async def read_frame(reader: asyncio.StreamReader) -> tuple[dict[str, Any], bytes] | None:
    """The next frame; None where the other end is gone, also in the middle of one."""
    try:
        facts_size, blob_size = _HEAD.unpack(await reader.readexactly(_HEAD.size))
        facts: dict[str, Any] = orjson.loads(await reader.readexactly(facts_size))
        return facts, await reader.readexactly(blob_size)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


def positions_of(data: bytes) -> array[int]:
    """Positions as they go over the pipe."""
    positions = array("Q")
    positions.frombytes(data)
    return positions


class FrameWriter:
    """Writes whole frames to a pipe, from any thread; blocks while the other end does not read."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()

    def write(self, facts: dict[str, Any], blob: bytes | bytearray = b"") -> None:
        """Raises BrokenPipeError where nobody reads any more."""
        rest = memoryview(frame(facts, blob))
        with self._lock:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
