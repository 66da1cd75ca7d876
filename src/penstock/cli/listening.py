"""The socket that `penstock proxy` listens on: handed over, or made here, and the file of one that has a path."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Any

from ..errors import UsageError
from ..wire.unix_socket import SocketFile, is_same_socket, open_unix_socket
from ..wire.url import UrlOrigin
from .handover import inherited_socket
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
    inherited = inherited_socket()
    if inherited is not None:
        return _of_inherited(inherited.sock, ours=inherited.ours)
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
