"""From the bytes of a vector to its row: an exact index in 12 bytes a vector."""

from __future__ import annotations

import os
from bisect import bisect_left
from pathlib import Path
from typing import TYPE_CHECKING

from .vector_file import read_blocks

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_TOP = 48
_ALL = (1 << 64) - 1
# hash() of bytes is a keyed 64-bit hash (SipHash), other in each process; the index never leaves this one. It
# takes a quarter of the time of any hash in hashlib.


class VectorIndex:
    """Finds the row of a vector in a raw float32 file by the hash of its bytes.

    Of each 64-bit hash the upper part is kept, sorted, with the row number in place of the lower bits; the
    lower bits lie in an array by row number. So sorting needs no second array: building takes 12 bytes a
    vector plus a chunk, as the index does (120 MB for 10 million). Needs numpy. Raises ValueError for a file
    that does not fit.
    """

    def __init__(self, path: str | os.PathLike[str], dim: int) -> None:
        import numpy as np

        n = Path(path).stat().st_size // (4 * dim) if dim > 0 else 0
        self.n = n
        self._bits = bits = max(1, (n - 1).bit_length()) if n else 1
        if bits > 32:
            raise ValueError(f"{n} vectors are more than this index can number")
        self._mask = mask = (1 << bits) - 1
        keys = np.empty(n, dtype=np.uint64)
        low = np.empty(n, dtype=np.uint32)
        row = 0
        for block in read_blocks(path, dim):
            hashes = _hash_rows(block)
            end = row + len(hashes)
            low[row:end] = hashes & np.uint64(mask)
            keys[row:end] = (hashes & ~np.uint64(mask)) | np.arange(row, end, dtype=np.uint64)
            row = end
        keys.sort()
        # Hashes are spread evenly, so the top 16 bits leave a search among n / 65,536 keys.
        tops = np.arange(1 << 16, dtype=np.uint64) << np.uint64(_TOP)
        self._starts: list[int] = [*np.searchsorted(keys, tops).tolist(), n]
        # Plain ints come out of a memoryview several times faster than out of a numpy array.
        self._keys = keys.data
        self._low = low.data

    def find(self, vector: bytes) -> int | None:
        """Return the row whose float32 bytes are `vector` (the first, where several are), or None."""
        hashed = hash(vector) & _ALL
        bits, mask, keys = self._bits, self._mask, self._keys
        upper = hashed >> bits
        top = hashed >> _TOP
        place = bisect_left(keys, upper << bits, self._starts[top], self._starts[top + 1])
        while place < self.n:
            key: int = keys[place]
            if key >> bits != upper:
                return None
            row = key & mask
            if self._low[row] == hashed & mask:
                return row
            place += 1
        return None


def _hash_rows(block: NDArray[np.float32]) -> NDArray[np.uint64]:
    import numpy as np

    data = block.tobytes()
    width = len(data) // len(block)
    hashes = [hash(data[at : at + width]) for at in range(0, len(data), width)]
    return np.array(hashes, dtype=np.int64).view(np.uint64)
