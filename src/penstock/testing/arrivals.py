"""The log of arrivals: when each request was complete at the server. The proof that a limit was kept.

The file is doubles in the machine's byte order, seconds of CLOCK_MONOTONIC, in order of arrival. It can be
read while it is written, and after the server was killed: then up to `flush_interval` seconds are missing at
its end.
"""

from __future__ import annotations

import os
from array import array
from pathlib import Path
from types import TracebackType

BLOCK = 65_536
"""Arrivals kept in memory at most: 512 KiB."""


class ArrivalsLog:
    """Appends times to a file in blocks. Raises OSError where the file cannot be written.

    `append` is for the hot path: one array append, and a write every BLOCK times.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._file = Path(path).open("ab", buffering=0)  # noqa: SIM115 - closed by close()
        self._times = array("d")
        self.count = 0

    def append(self, time: float) -> None:
        """Record one arrival."""
        self._times.append(time)
        if len(self._times) >= BLOCK:
            self.flush()

    def flush(self) -> None:
        """Hand what is kept to the operating system."""
        rest = memoryview(self._times).cast("B")
        self.count += len(self._times)
        while rest:
            rest = rest[self._file.write(rest) :]
        # A new array: one that a memoryview was taken of cannot be emptied while the view lives.
        self._times = array("d")

    def close(self) -> None:
        """Flush and close; may be called twice."""
        if not self._file.closed:
            self.flush()
            self._file.close()

    def __enter__(self) -> ArrivalsLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read_arrivals(path: str | os.PathLike[str]) -> array[float]:
    """Read the times in a log, 8 bytes each; half a time at the end, of a killed server, is left out."""
    data = Path(path).read_bytes()
    times = array("d")
    times.frombytes(data[: len(data) // times.itemsize * times.itemsize])
    return times
