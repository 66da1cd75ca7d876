"""Connections that end with a reset: ours, so that what was sent cannot be taken for complete, and those of clients."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct

_AT_ONCE = struct.pack("ii", 1, 0)


def reset_on_close(transport: asyncio.Transport) -> None:
    """Have the socket of `transport` reset when it is closed; a Unix socket knows no resets."""
    connected = transport.get_extra_info("socket")
    if connected is not None and connected.family != socket.AF_UNIX:
        # An error means that it is closed already.
        with contextlib.suppress(OSError):
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)


def end_writing(transport: asyncio.Transport) -> None:
    """Send no more after what is written. Where the client has reset the connection already, it is closed."""
    try:
        transport.write_eof()
    except OSError:
        # The kernel knows, and the loop has not been told yet.
        transport.abort()
