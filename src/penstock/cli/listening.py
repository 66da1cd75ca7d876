"""The socket that `penstock proxy` listens on: handed over, or made here, and the file of one that has a path."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Any

from ..errors import UsageError
from ..wire.reasons import reason_of
from ..wire.unix_socket import SocketFile, is_same_socket, open_unix_socket
from ..wire.url import UrlOrigin
from .handover import inherited_sockets
from .proxy_options import UnixAddress


@dataclass
class Listening:
    """`sock` is None where `host` and `port` are still to be bound; `file` where there is nothing to remove."""

    host: str = ""
    port: int = 0
    sock: socket.socket | None = None
    file: SocketFile | None = None

    def remove_file(self) -> None:
        """Nobody listens there from now on; not to be called where somebody else goes on with the socket."""
        if self.file is not None:
            self.file.remove()
            self.file = None


def check_listen(options: dict[str, Any], origin: UrlOrigin) -> None:
    """Raise UsageError for a --listen that cannot be meant, as far as that is seen without a socket."""
    listen = options["listen"]
    if not isinstance(listen, UnixAddress):
        if options["listen_mode"] is not None:
            raise UsageError("--listen-mode is for --listen unix:/path")
    elif origin.path and is_same_socket(listen.path, origin.path):
        raise UsageError(f"--origin {origin} is this proxy itself, which listens there: say where the app listens")


def where_to_listen(options: dict[str, Any], origin: UrlOrigin) -> Listening:
    """What --listen says, or who started us. Raises UsageError."""
    check_listen(options, origin)
    listen, mode = options["listen"], options["listen_mode"]
    inherited = inherited_sockets()
    if inherited is not None:
        # A predecessor in several processes had more: the kernel gives its clients to those that are left.
        for other in inherited.socks[1:]:
            other.close()
        return _of_inherited(inherited.socks[0], ours=inherited.ours)
    if not isinstance(listen, UnixAddress):
        return Listening(*listen)
    sock = open_unix_socket(listen.path, mode)
    return Listening(sock=sock, file=SocketFile(listen.path))


def _of_inherited(sock: socket.socket, *, ours: bool) -> Listening:
    name = sock.getsockname()
    if sock.family != socket.AF_UNIX:
        return Listening(name[0], name[1], sock)
    # The file of a socket of systemd is systemd's.
    return Listening(sock=sock, file=SocketFile(name) if ours and isinstance(name, str) else None)


def sockets_for(options: dict[str, Any], origin: UrlOrigin, count: int) -> tuple[Listening, list[socket.socket]]:
    """As `where_to_listen`, with a bound socket for each of `count` processes. Raises UsageError.

    Each has one of its own where the system spreads clients over several (SO_REUSEPORT); a Unix socket, and one of
    systemd, is shared by all of them.
    """
    check_listen(options, origin)
    listen, mode = options["listen"], options["listen_mode"]
    inherited = inherited_sockets()
    if inherited is not None:
        socks = inherited.socks
        listening = _of_inherited(socks[0], ours=inherited.ours)
        return listening, [socks[number % len(socks)] for number in range(count)]
    if isinstance(listen, UnixAddress):
        sock = open_unix_socket(listen.path, mode)
        return Listening(sock=sock, file=SocketFile(listen.path)), [sock] * count
    family, address = _one_address(*listen)
    # Alone first: another proxy that shares its port with others of its own would go unnoticed.
    with _bound(family, address, shared=False) as alone:
        address = (address[0], alone.getsockname()[1])
    socks = [_bound(family, address, shared=True) for _ in range(count)]
    return Listening(listen[0], address[1], socks[0]), socks


def _one_address(host: str, port: int) -> tuple[int, tuple[str, int]]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise UsageError(f"cannot listen on {host}:{port}: {error.strerror}") from error
    addresses = {(each[0], str(each[4][0])) for each in found}
    if len(addresses) > 1:
        shown = ", ".join(sorted(address for _, address in addresses))
        raise UsageError(f"--listen {host} is {shown}: with --processes give one of these addresses")
    family, address = addresses.pop()
    return family, (address, port)


def _bound(family: int, address: tuple[str, int], *, shared: bool) -> socket.socket:
    if shared and not hasattr(socket, "SO_REUSEPORT"):
        raise UsageError("--processes needs a system that spreads connections over several sockets, as Linux does")
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
        if not shared:
            # Two may be bound to one address; only one may listen.
            sock.listen(1)
    except OSError as error:
        sock.close()
        raise UsageError(f"cannot listen on {address[0]}:{address[1]}: {reason_of(error)}") from error
    return sock
