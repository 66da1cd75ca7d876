"""Who runs where: the server on cores that nobody else of us uses, where there are enough of them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .processes import own_cores


@dataclass(frozen=True, slots=True)
class Placing:
    """The cores of the server, and those of the client and all else."""

    server: tuple[int, ...]
    client: tuple[int, ...]

    @property
    def is_apart(self) -> bool:
        """Whether the two have no core in common."""
        return not set(self.server) & set(self.client)

    def __str__(self) -> str:
        if not self.is_apart:
            return "server and client share the only core, so that each is in the way of the other"
        return f"server on {_cores(self.server)}, client on {_cores(self.client)}"


def place(workers: int, cores: Sequence[int] | None = None) -> Placing:
    """A core for each worker from the last one down, but one at least stays for the client."""
    mine = own_cores() if cores is None else list(cores)
    if len(mine) < 2:
        return Placing(tuple(mine), tuple(mine))
    count = min(workers, len(mine) - 1)
    return Placing(tuple(mine[-count:]), tuple(mine[:-count]))


@contextlib.contextmanager
def kept_to(cores: Sequence[int]) -> Iterator[None]:
    """Our own process, and what it starts, on these cores; afterwards where it was before."""
    before = os.sched_getaffinity(0)
    with contextlib.suppress(OSError):
        os.sched_setaffinity(0, set(cores))
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, before)


def _cores(numbers: Sequence[int]) -> str:
    return f"core{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"
