"""Graceful restart: a successor process takes over the listening socket, and no client is refused meanwhile.

The kernel's queue of new connections belongs to the socket, which both processes hold for a moment: the old one stops
to accept once the new one has begun to. What is stored stays behind; the new cache starts empty.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Sequence
from typing import NamedTuple

from ..errors import UsageError

_SOCKET = "PENSTOCK_LISTEN_FD"
_READY = "PENSTOCK_READY_FD"
_SYSTEMD_FIRST = 3


class Inherited(NamedTuple):
    """`ours`: they come from a predecessor, and not from systemd, which keeps what it has made."""

    socks: list[socket.socket]
    ours: bool


def inherited_sockets() -> Inherited | None:
    """The listening socket that a predecessor, or systemd (`LISTEN_FDS`), has handed to this process; None without.

    A predecessor in several processes has one for each. Raises UsageError where what was announced is not a socket.
    """
    number = os.environ.pop(_SOCKET, None)
    ours = number is not None
    if number is None and os.environ.get("LISTEN_PID") == str(os.getpid()):
        number = str(_SYSTEMD_FIRST) if os.environ.get("LISTEN_FDS", "0") != "0" else None
    if number is None:
        return None
    try:
        found = [socket.socket(fileno=int(each)) for each in number.split(",")]
        for each in found:
            each.setblocking(False)
    except (OSError, ValueError) as error:
        raise UsageError(f"the listening socket that was handed over cannot be used: {error}") from None
    return Inherited(found, ours)


def tell_ready() -> None:
    """Let the predecessor, if there is one, know that this process answers now."""
    number = os.environ.pop(_READY, None)
    if number is not None:
        os.write(int(number), b"1")
        os.close(int(number))


async def start_successor(listening: Sequence[socket.socket], timeout: float) -> bool:
    """Start this command anew with the sockets; True once it answers, False where it ended or took over `timeout` s."""
    reading, writing = os.pipe()
    descriptors = [os.dup(each.fileno()) for each in listening]
    for each in (writing, *descriptors):
        os.set_inheritable(each, True)
    try:
        environment = {**os.environ, _SOCKET: ",".join(map(str, descriptors)), _READY: str(writing)}
        # Not waited for: it outlives us, and how it ends is its own affair.
        pid = os.posix_spawn(sys.executable, sys.orig_argv, environment)  # noqa: ASYNC221  # returns at once
    except OSError:
        os.close(reading)
        return False
    finally:
        for each in (writing, *descriptors):
            os.close(each)
    ready = await _first_byte(reading, timeout)
    if not ready:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return ready


async def _first_byte(descriptor: int, timeout: float) -> bool:
    """Whether a byte comes out of the pipe before its end, or `timeout` seconds."""
    loop = asyncio.get_running_loop()
    came: asyncio.Future[bytes] = loop.create_future()

    def readable() -> None:
        loop.remove_reader(descriptor)
        came.set_result(os.read(descriptor, 1))

    loop.add_reader(descriptor, readable)
    try:
        async with asyncio.timeout(timeout):
            return await came != b""
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
