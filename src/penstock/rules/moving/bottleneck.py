"""What an arm stops at: its CPU, its threads, a pool of connections, or something behind it.

All of this is seen from outside, of the server's processes: their CPU, what their threads wait in, and their
connections to others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

BUSY = 0.5
"""Of a core a worker; with less, the CPU is not what an arm stops at."""
FEW = 0.7
"""So much less than what waits is a number of connections that is held down."""


class StopsAt(Enum):
    """What it is."""

    CPU = "CPU"
    THREADS = "thread pool"
    CONNECTIONS = "connection pool"
    BEHIND = "upstream"
    INSIDE = "inside the app"
    UNKNOWN = "not seen"


@dataclass(frozen=True, slots=True)
class ServerSeen:
    """What was seen of an arm that was given more than it can take. Numbers are of one worker, but for `in_flight`."""

    workers: int
    cpu: float
    """Of a core."""
    in_flight: float
    """Requests that it had not answered yet."""
    threads: int
    """That were made for its requests."""
    threads_outside: float
    """Of them, how many were on average at work, or waited for something outside, and not for another thread."""
    connections: Mapping[str, int] = field(default_factory=dict)
    """To each address, the most that were open at once."""


@dataclass(frozen=True, slots=True)
class Bottleneck:
    """What an arm stops at; `why` in words."""

    stop: StopsAt
    why: str


def bottleneck_of(seen: ServerSeen) -> Bottleneck:
    """What the arm stops at, as far as it can be told from outside."""
    if seen.cpu >= BUSY:
        return Bottleneck(StopsAt.CPU, f"CPU: {seen.cpu:.0%} of a core a worker")
    waiting = seen.in_flight / seen.workers
    spare = f"with {seen.cpu:.0%} of a core"
    are_threads_short = 0 < seen.threads < waiting
    at_once = min(float(seen.threads), waiting) if seen.threads else waiting
    few = {
        address: count
        for address, count in seen.connections.items()
        if count < FEW * at_once and (not seen.threads or seen.threads_outside <= count + 1)
    }
    if few:
        address, count = min(few.items(), key=lambda each: each[1])
        who = f"{at_once:.0f} {'threads' if seen.threads else 'requests'} want one"
        return Bottleneck(StopsAt.CONNECTIONS, f"connection pool: {_many(count)} to {address}, while {who}, {spare}")
    if are_threads_short:
        return Bottleneck(
            StopsAt.THREADS,
            f"thread pool: all of its {seen.threads} threads are taken and {waiting - seen.threads:.0f} more requests "
            f"wait, {spare}",
        )
    if seen.connections:
        address, count = max(seen.connections.items(), key=lambda each: each[1])
        return Bottleneck(StopsAt.BEHIND, f"upstream, or a pool inside the app: {_many(count)} to {address}, {spare}")
    return Bottleneck(StopsAt.INSIDE, f"something that waits inside the app, {spare}: a lock, a sleep, or a pool")


def _many(count: int) -> str:
    return "1 connection" if count == 1 else f"{count} connections"
