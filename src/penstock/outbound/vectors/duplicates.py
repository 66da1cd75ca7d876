"""Which vectors occur more than once? Exact, in flat memory, for any number of vectors.

Why it matters: asked for one of two equal vectors, an index may return the other, and be right. LAION-100M,
for one, has 1.7 % duplicated rows. Three steps:
1. one pass over the file: a 40-bit hash of each row. Its first 8 bits choose one of 256 bucket files, the
   other 32 are written there together with the row number as one u64: 80 MB for 10 million rows.
2. bucket by bucket: sort; rows with the same hash now stand together. By chance alone that happens to some 45
   pairs in 10 million.
3. the candidates are read again, in file order, and compared by a 128-bit digest of their bytes.

The hash is multilinear: sum of (random odd 64-bit number x 64-bit piece), upper bits taken (D. Lemire, O.
Kaser, "Strongly universal string hashing is fast", 2014). The random numbers are drawn from a fixed seed:
this guards against bad luck, not against somebody who makes collisions on purpose, and step 3 is exact for
those as well.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from ...errors import StorageError
from .numeric import Array, np
from .source import VectorSource

_BUCKETS = 256
_BLOCK_BYTES = 4 * 1024 * 1024
_HELD_KEYS = 524_288
"""Keys collected before they go to the buckets: 4 MiB, so that each bucket gets 16 KiB at a time."""
_CANDIDATES = 262_144
"""Rows compared at a time: 2 MiB of row numbers and 8 MiB of digests."""
_SEED = 0x70656E73746F636B


@dataclass(frozen=True, slots=True)
class Duplicates:
    """What was found: `groups` of equal vectors, `rows` vectors in all of them, listed in the file `path`."""

    path: Path
    groups: int
    rows: int

    def __iter__(self) -> Iterator[array[int]]:
        """The groups, the positions in each ascending; two vectors or more in each."""
        with self.path.open("rb") as file:
            while head := file.read(4):
                group = array("I")
                group.fromfile(file, int.from_bytes(head, "little"))
                yield group


def find_duplicates(source: VectorSource, folder: Path) -> Duplicates:
    """All groups of vectors that are equal byte for byte.

    `folder` is made if need be; it gets bucket files, which are removed at the end, and the list of groups.
    Memory is some 30 MB, whatever the number of vectors; a vector that occurs m times needs 40 * m bytes
    more. Raises StorageError when the folder cannot be written, InputError when the source cannot be read.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        buckets = [folder / f"bucket-{number:02x}" for number in range(_BUCKETS)]
        _remove(buckets)
        try:
            _fill_buckets(source, buckets)
            return _write_groups(source, buckets, folder / "duplicates.u32")
        finally:
            _remove(buckets)
    except OSError as error:
        raise StorageError(f"{folder}: cannot look for duplicates: {error.strerror}") from error


def equal_rows(source: VectorSource, i: int, j: int) -> bool:
    """Whether vectors i and j are equal byte for byte; so 0.0 and -0.0 differ.

    Reads through the source's one buffer: give it a source of its own, not the one whose block is in use.
    """
    first = source.read_unchecked(i, 1).tobytes()
    return first == source.read_unchecked(j, 1).tobytes()


def hash_rows(block: Array) -> Array:
    """A u64 for each row of a C-contiguous (n, dim) block; equal rows have equal hashes."""
    width = block.shape[1] * block.itemsize
    pieces = -(-width // 8)
    if width % 8:
        padded = np.zeros((len(block), pieces * 8), np.uint8)
        padded[:, :width] = block.view(np.uint8).reshape(len(block), width)
        lanes = padded.view(np.uint64)
    else:
        lanes = block.view(np.uint64).reshape(len(block), pieces)
    factors = np.random.default_rng(_SEED).integers(0, 2**64, pieces, np.uint64) | np.uint64(1)
    sums: Array = lanes @ factors
    # The upper bits of a multilinear sum are the good ones; fold and multiply so that any 40 of the result
    # will do.
    sums ^= sums >> np.uint64(32)
    sums *= np.uint64(0x9E3779B97F4A7C15)
    return sums


def _remove(paths: list[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


def _fill_buckets(source: VectorSource, buckets: list[Path]) -> None:
    rows = max(1, min(_HELD_KEYS, _BLOCK_BYTES // (source.dim * source.dtype.itemsize)))
    hashes = np.empty(_HELD_KEYS, np.uint64)
    held, first = 0, 0
    for start in range(0, source.count, rows):
        count = min(rows, source.count - start)
        if held + count > _HELD_KEYS:
            _spread(hashes[:held], first, buckets)
            first, held = start, 0
        hashes[held : held + count] = hash_rows(source.read_unchecked(start, count))
        held += count
    _spread(hashes[:held], first, buckets)


def _spread(hashes: Array, first: int, buckets: list[Path]) -> None:
    """Append the keys of rows `first` onwards to their buckets."""
    bucket = (hashes >> np.uint64(56)).astype(np.uint8)
    keys = (hashes >> np.uint64(24)) << np.uint64(32) | np.arange(first, first + len(hashes), dtype=np.uint64)
    keys = keys[np.argsort(bucket, kind="stable")]
    ends = np.cumsum(np.bincount(bucket, minlength=_BUCKETS))
    begin = 0
    for path, end in zip(buckets, ends.tolist(), strict=True):
        if end > begin:
            with path.open("ab") as file:
                file.write(keys[begin:end].data)
        begin = end


def _write_groups(source: VectorSource, buckets: list[Path], path: Path) -> Duplicates:
    groups = rows = 0
    with path.open("wb") as file:
        for keys in _candidates(buckets):
            for group in _equal(source, keys):
                file.write(len(group).to_bytes(4, "little"))
                file.write(group.astype("<u4").tobytes())
                groups, rows = groups + 1, rows + len(group)
    return Duplicates(path, groups, rows)


def _candidates(buckets: list[Path]) -> Iterator[Array]:
    """Keys (bucket's share of the hash, row) that are not alone with their hash, many at a time.

    The upper half is a number for each hash, not the hash: rows of different buckets must not meet.
    """
    held: list[Array] = []
    size = marks = 0
    for path in buckets:
        if not path.exists():
            continue
        keys = np.fromfile(path, np.uint64)
        keys.sort()
        upper = keys >> np.uint64(32)
        same = upper[1:] == upper[:-1]
        alike = np.concatenate([[False], same]) | np.concatenate([same, [False]])
        if not alike.any():
            continue
        upper, keys = upper[alike], keys[alike]
        mark = np.cumsum(np.concatenate([[0], upper[1:] != upper[:-1]])).astype(np.uint64) + np.uint64(marks)
        held.append(mark << np.uint64(32) | keys & np.uint64(0xFFFFFFFF))
        size, marks = size + len(keys), int(mark[-1]) + 1
        if size >= _CANDIDATES:
            yield np.concatenate(held)
            held, size, marks = [], 0, 0
    if held:
        yield np.concatenate(held)


def _equal(source: VectorSource, keys: Array) -> Iterator[Array]:
    """Groups of rows with equal bytes among those with equal marks, each ascending."""
    rows = keys & np.uint64(0xFFFFFFFF)
    order = np.argsort(rows)
    table = np.zeros((len(rows), 2), np.uint64)
    for at in order.tolist():
        # In file order, since compressed formats can only be read forwards.
        data = source.read_unchecked(int(rows[at]), 1)
        table[at] = np.frombuffer(hashlib.blake2b(data.tobytes(), digest_size=16).digest(), np.uint64)
    by = np.lexsort((rows, table[:, 1], table[:, 0], keys >> np.uint64(32)))
    marks, table, rows = (keys >> np.uint64(32))[by], table[by], rows[by]
    new = np.concatenate([[True], (marks[1:] != marks[:-1]) | (table[1:] != table[:-1]).any(axis=1)])
    bounds = [*np.flatnonzero(new).tolist(), len(rows)]
    for begin, end in pairwise(bounds):
        if end - begin > 1:
            yield rows[begin:end]
