"""Which keys were written already: exact and in flat memory, however many there are, in a SQLite file.

Its commit comes before that of the journal. A crash between the two leaves keys of rows that do not count; they are
the ones with the highest numbers, so the journal need only say what the last number was.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from ...errors import RunRefused, StorageError

_CACHE_KIB = 16 << 10


class SeenKeys:
    """One writer; every method blocks, and may be called from any thread, one at a time."""

    def __init__(self, path: Path, count: int) -> None:
        """Open or make the file, and forget the keys with a number above `count`.

        Raises StorageError, RunRefused where there should be keys and no file is there.
        """
        if count and not path.exists():
            raise RunRefused(f"{path} is gone, and what it held is needed; put it back, or use --fresh to start afresh")
        self._path = path
        with self._told():
            self._base = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            try:
                self._prepare(count)
            except sqlite3.Error:
                self._base.close()
                raise
        self.count = count

    def _prepare(self, count: int) -> None:
        self._base.execute("PRAGMA journal_mode=WAL")
        # In a power cut a key must not be lost whose row was kept.
        self._base.execute("PRAGMA synchronous=FULL")
        self._base.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
        self._base.execute("CREATE TABLE IF NOT EXISTS seen (number INTEGER PRIMARY KEY, key BLOB UNIQUE NOT NULL)")
        self._base.execute("DELETE FROM seen WHERE number > ?", (count,))

    def add(self, keys: Sequence[bytes | None]) -> list[int]:
        """Add `keys`; returns the places of those that were there before, or came twice. None is always new.

        Nothing is durable before `commit`.
        """
        first, self.count = self.count + 1, self.count + len(keys)
        numbered = [pair for pair in enumerate(keys, first) if pair[1] is not None]
        with self._told():
            if not self._base.in_transaction:
                self._base.execute("BEGIN IMMEDIATE")
            before = self._base.total_changes
            self._base.executemany("INSERT OR IGNORE INTO seen VALUES (?, ?)", numbered)
            if self._base.total_changes - before == len(numbered):
                return []
            new = {number for (number,) in self._base.execute("SELECT number FROM seen WHERE number >= ?", (first,))}
        return [number - first for number, _ in numbered if number not in new]

    def commit(self) -> None:
        """Make what was added durable."""
        with self._told():
            if self._base.in_transaction:
                self._base.execute("COMMIT")

    def close(self) -> None:
        """Let the file go; what was not committed is dropped."""
        self._base.close()

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StorageError(
                f"writing to {self._path}: {error}; what was committed is safe, and the same command goes on from there"
            ) from error
