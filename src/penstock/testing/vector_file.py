"""Raw float32 vectors on disk, as test data: n * dim * 4 bytes, no header."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CHUNK_BYTES = 8 << 20
"""Memory taken by a chunk of vectors, reading or writing."""

_CENTRES = 1_000
_SPREAD = 0.35


def write_vectors(path: str | os.PathLike[str], n: int, dim: int, seed: int = 0, *, clustered: bool = False) -> None:
    """Write `n` float32 vectors of length 1, in flat memory; the same arguments write the same bytes.

    Gaussian, so that two of them are never near each other in many dimensions; `clustered` puts them around
    1,000 centres, as real embeddings are, so that wrong neighbours look almost right. Needs numpy (the
    `vectors` extra).
    """
    import numpy as np

    rng = np.random.Generator(np.random.SFC64(seed))
    centres = rng.standard_normal((_CENTRES, dim), dtype=np.float32) if clustered else None
    rows = max(1, CHUNK_BYTES // (4 * dim))
    with Path(path).open("wb") as file:
        for start in range(0, n, rows):
            block = rng.standard_normal((min(rows, n - start), dim), dtype=np.float32)
            if centres is not None:
                block *= np.float32(_SPREAD)
                block += centres[rng.integers(_CENTRES, size=len(block))]
            block /= np.sqrt(np.einsum("ij,ij->i", block, block))[:, None]
            file.write(block.data.cast("B"))


def read_blocks(path: str | os.PathLike[str], dim: int) -> Iterator[NDArray[np.float32]]:
    """Yield the vectors in blocks of shape (rows, dim). A block is overwritten by the next.

    Raises ValueError where the file is not a whole number of vectors.
    """
    import numpy as np

    size = Path(path).stat().st_size
    if dim < 1 or size % (4 * dim):
        raise ValueError(f"{os.fspath(path)}: {size} bytes are not a whole number of vectors of {dim} float32")
    buffer = np.empty((max(1, CHUNK_BYTES // (4 * dim)), dim), dtype=np.float32)
    left = size // (4 * dim)
    with Path(path).open("rb", buffering=0) as file:
        while left:
            block = buffer[: min(left, len(buffer))]
            _read_fully(file, block.data.cast("B"))
            left -= len(block)
            yield block


def _read_fully(file: io.FileIO, view: memoryview) -> None:
    while view:
        got = file.readinto(view)
        if not got:
            raise ValueError("the file became shorter while it was read")
        view = view[got:]
