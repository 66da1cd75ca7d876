"""A look at a server, again and again while it is given more than it can take: its threads, and its connections."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Collection
from statistics import fmean, median
from types import TracebackType
from typing import Self

from .processes import connections, threads

_EVERY = 0.05


class ServerWatch:
    """A context. `before`: threads (process, number) that were there when there was one request at a time."""

    def __init__(self, pids: Collection[int], port: int, before: set[tuple[int, int]]) -> None:
        self._pids, self._port, self._before = pids, port, before
        self._first: dict[tuple[int, int], int] = {}
        self._used: set[tuple[int, int]] = set()
        self._outside: list[int] = []
        self._connections: list[Counter[str]] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="penstock-watch", daemon=True)

    def threads(self) -> int:
        """So many were made for requests that came at once, and had something to do; others are idle."""
        return len(self._used)

    def threads_outside(self) -> float:
        """Of them, how many on average waited for no other thread."""
        # The last look may be of a server that has answered all.
        return fmean(self._outside[: max(1, len(self._outside) - 2)]) if self._outside else 0.0

    def connections(self) -> dict[str, int]:
        """To each address, how many were open in most of the looks."""
        every = {address for each in self._connections for address in each}
        usual = {address: median(each[address] for each in self._connections) for address in every}
        return {address: round(count) for address, count in usual.items() if count >= 1}

    def _run(self) -> None:
        while not self._ended.wait(_EVERY):
            made = [each for each in threads(self._pids) if (each.pid, each.number) not in self._before]
            for each in made:
                key = (each.pid, each.number)
                if each.is_outside or each.runs > self._first.setdefault(key, each.runs):
                    self._used.add(key)
            self._outside.append(sum(each.is_outside for each in made))
            self._connections.append(connections(self._pids, but_port=self._port))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
