"""Opening a connection: resolve, connect to the first address that answers, start TLS.

The same on every loop: uvloop's create_connection has no happy eyeballs, and the errors of the three steps
are told apart here by where they happen.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Any

from ..errors import ConnectError, ConnectTimeout, DnsError, TlsError
from .connection import Connection
from .reasons import reason_of, tls_reason_of
from .url import UrlOrigin

Address = tuple[int, Any]
"""The family, and what connect() takes for it."""

HAPPY_EYEBALLS_DELAY = 0.25
"""Seconds before the next address is tried while the one before is silent (RFC 8305, 5)."""

UNIX_QUEUE_DELAY = 0.01
"""Seconds before a Unix socket whose queue is full is tried again."""


def client_tls() -> ssl.SSLContext:
    """What verifies against the system's certificates. Reading them takes 20 ms, so it is made where it is needed."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


async def dial(
    origin: UrlOrigin, tls: ssl.SSLContext | None, timeout: float, factory: Callable[[], Connection]
) -> Connection:
    """A connection made by `factory`; `timeout` is in seconds, for all three steps together.

    Raises DnsError, ConnectError, TlsError or ConnectTimeout. Cancelled anywhere, it leaves no socket open.
    """
    try:
        async with asyncio.timeout(timeout):
            sock = await (_connect_unix(origin) if origin.path else _connect_first(await _resolve(origin), origin))
            return await _start(sock, origin, tls, factory)
    except TimeoutError as error:
        raise ConnectTimeout(f"{origin}: no connection within {timeout:g} s") from error


async def _resolve(origin: UrlOrigin) -> list[Address]:
    for family, rest in ((socket.AF_INET, ()), (socket.AF_INET6, (0, 0))):
        try:
            socket.inet_pton(family, origin.host)
        except OSError:
            continue
        return [(family, (origin.host, origin.port, *rest))]
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise DnsError(f"{origin}: the host name has no address ({reason_of(error)})") from error
    return _interleave([(family, address) for family, _, _, _, address in found])


def _interleave(addresses: list[Address]) -> list[Address]:
    """Take the families in turn, so that a dead IPv6 route costs one delay and not one for each address."""
    unique = list(dict.fromkeys(addresses))
    first = [a for a in unique if a[0] == unique[0][0]]
    other = [a for a in unique if a[0] != unique[0][0]]
    pairs = [a for pair in zip(first, other, strict=False) for a in pair]
    shorter = min(len(first), len(other))
    return pairs + first[shorter:] + other[shorter:]


async def _connect_first(addresses: list[Address], origin: UrlOrigin) -> socket.socket:
    if len(addresses) == 1:
        try:
            return await _connect(addresses[0])
        except OSError as error:
            raise ConnectError(f"{origin}: no connection ({reason_of(error)})") from error
    winner: asyncio.Task[socket.socket] | None = None
    tasks: list[asyncio.Task[socket.socket]] = []
    try:
        for address in addresses:
            tasks.append(asyncio.create_task(_connect(address)))
            winner = await _first_connected(tasks, HAPPY_EYEBALLS_DELAY)
            if winner is not None:
                return winner.result()
        winner = await _first_connected(tasks, None)
        if winner is not None:
            return winner.result()
    finally:
        for task in tasks:
            if task is not winner:
                task.cancel()
                task.add_done_callback(_close_loser)
    reasons = "; ".join(dict.fromkeys(reason_of(task.exception()) for task in tasks))
    raise ConnectError(f"{origin}: no connection to any of {len(addresses)} addresses ({reasons})")


async def _first_connected(
    tasks: list[asyncio.Task[socket.socket]], delay: float | None
) -> asyncio.Task[socket.socket] | None:
    """The first task that has a socket; None after `delay` seconds or once all have failed."""
    pending = {task for task in tasks if not task.done()}
    while pending:
        done, pending = await asyncio.wait(pending, timeout=delay, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            if task.exception() is None:
                return task
        if not done or delay is not None:
            return None
    return None


def _close_loser(task: asyncio.Task[socket.socket]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().close()


async def _connect(address: Address) -> socket.socket:
    family, where = address
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        # A request is one write: waiting for more to send (Nagle) would only delay the end of a long one.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(sock, where)
    except BaseException:
        sock.close()
        raise
    return sock


async def _connect_unix(origin: UrlOrigin) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        while True:
            try:
                sock.connect(origin.path)
                return sock
            except BlockingIOError:
                # Its queue is full. Nothing tells when there is room, and the loop's sock_connect takes it for begun.
                await _turn()
    except OSError as error:
        sock.close()
        raise ConnectError(f"{origin}: no connection ({reason_of(error)})") from error
    except BaseException:
        sock.close()
        raise


async def _turn() -> None:
    """Let UNIX_QUEUE_DELAY seconds go by."""
    over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    timer = asyncio.get_running_loop().call_later(UNIX_QUEUE_DELAY, over.set_result, None)
    try:
        await over
    finally:
        timer.cancel()


async def _start(
    sock: socket.socket, origin: UrlOrigin, tls: ssl.SSLContext | None, factory: Callable[[], Connection]
) -> Connection:
    loop = asyncio.get_running_loop()
    connection = factory()
    name = origin.host if tls is not None else None
    try:
        if origin.path:
            transport, _ = await loop.create_unix_connection(lambda: connection, sock=sock)
        else:
            transport, _ = await loop.create_connection(lambda: connection, sock=sock, ssl=tls, server_hostname=name)
    except BaseException as error:
        connection.discard()
        sock.close()
        if isinstance(error, ssl.SSLError):
            raise TlsError(f"{origin}: the TLS handshake failed ({tls_reason_of(error)})") from error
        if isinstance(error, OSError):
            why = reason_of(error)
            raise ConnectError(f"{origin}: connection lost in the TLS handshake ({why})") from error
        raise
    chosen = tls and transport.get_extra_info("ssl_object").selected_alpn_protocol()
    if chosen not in {None, "http/1.1"}:
        connection.abort()
        raise TlsError(f"{origin}: the TLS context let the peer choose {chosen!r}; only http/1.1 is spoken")
    return connection
