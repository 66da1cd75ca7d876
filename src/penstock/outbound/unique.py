"""Are all keys different? In flat memory, for any number of keys.

64-bit digests go into 64 bucket files by their low bits; each bucket is sorted by itself. Equal digests are only
candidates: with ten million keys two different ones collide once in 370,000 inputs, so the keys themselves decide.
"""

from __future__ import annotations

import hashlib
import itertools
import shutil
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

_BUCKETS = 64
_BUFFER = 2048
_MOST_CANDIDATES = 1000


class UniqueKeys:
    """Collects keys in files under `folder`, then looks for one that came twice."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "keys"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._buckets = [array("Q") for _ in range(_BUCKETS)]
        for number in range(_BUCKETS):
            self._path(number).write_bytes(b"")

    def add(self, key: Any, position: int) -> None:
        """Note that the record at `position` has `key`."""
        kind = b"s" if isinstance(key, str) else b"i"
        text = kind + str(key).encode("utf-8", "surrogatepass")
        digest = int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")
        bucket = self._buckets[digest % _BUCKETS]
        bucket.append(digest)
        bucket.append(position)
        if len(bucket) >= 2 * _BUFFER:
            self._flush(digest % _BUCKETS)

    def find_duplicate(self, keys_at: Callable[[set[int]], dict[int, Any]]) -> tuple[int, int, Any] | None:
        """(first position, second position, key) of a key that came twice, or None.

        `keys_at` reads the keys at given positions again. The bucket files are removed.
        """
        try:
            candidates: list[tuple[int, int]] = []
            for number in range(_BUCKETS):
                self._flush(number)
                candidates += self._twins(number)
                if len(candidates) > _MOST_CANDIDATES:
                    break
            return _confirm(candidates, keys_at)
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _twins(self, number: int) -> list[tuple[int, int]]:
        pairs = array("Q")
        pairs.frombytes(self._path(number).read_bytes())
        digests = pairs[0::2]
        if len(set(digests)) == len(digests):
            return []
        rows = sorted(zip(digests, pairs[1::2], strict=True))
        return [(a[1], b[1]) for a, b in itertools.pairwise(rows) if a[0] == b[0]]

    def _flush(self, number: int) -> None:
        with self._path(number).open("ab") as file:
            self._buckets[number].tofile(file)
        self._buckets[number] = array("Q")

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:02d}"


def _confirm(
    candidates: list[tuple[int, int]], keys_at: Callable[[set[int]], dict[int, Any]]
) -> tuple[int, int, Any] | None:
    if not candidates:
        return None
    keys = keys_at({position for pair in candidates for position in pair})
    for first, second in sorted(candidates):
        if keys[first] == keys[second] and type(keys[first]) is type(keys[second]):
            return first, second, keys[first]
    return None
