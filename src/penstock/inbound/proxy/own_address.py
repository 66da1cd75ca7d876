"""Which addresses are one: the origin's and the proxy's, or those of two of its own sockets.

A proxy that is its own origin would ask itself for each request without an end.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Iterable

from ...errors import UsageError
from ...wire.url import UrlOrigin

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
_LOOPBACK = {4: ipaddress.ip_address("127.0.0.1"), 6: ipaddress.ip_address("::1")}


async def refuse_itself(origin: UrlOrigin, host: str, port: int, sock: socket.socket | None) -> None:
    """Raise UsageError where `origin` leads to `host` and `port`, or to what `sock` listens on in their place.

    A name whose addresses are ours and others is refused as well. Names that nobody knows yet pass.
    """
    where = f"{host}:{port}"
    both = False
    if sock is not None:
        if sock.family not in (socket.AF_INET, socket.AF_INET6):
            return
        host, port = sock.getsockname()[:2]
        where = f"{host}:{port}"
        both = sock.family == socket.AF_INET6 and not sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
    if port != origin.port:
        return
    listening = await _addresses(host)
    for address in await _addresses(origin.host):
        if any(_reaches(address, own, both=both) for own in listening):
            raise UsageError(
                f"--origin {origin} is this proxy itself, which listens on {where}: say where the app listens"
            )


async def is_one_address(one: tuple[str, int], other: tuple[str, int]) -> bool:
    """Whether no two sockets can listen on `one` and on `other`. Port 0 is a free one each time."""
    if one[1] != other[1] or one[1] == 0:
        return False
    others = [*await _addresses(other[0])]
    return any(_overlaps(each, that) for each in await _addresses(one[0]) for that in others)


def _overlaps(one: IpAddress, other: IpAddress) -> bool:
    return one.version == other.version and (one == other or one.is_unspecified or other.is_unspecified)


def _reaches(address: IpAddress, own: IpAddress, *, both: bool) -> bool:
    """Whether who connects to `address` comes to a socket that listens on `own`, of either family with `both`."""
    if address.is_unspecified:
        # The system takes it for this machine.
        address = _LOOPBACK[address.version]
    if address == own:
        return True
    return own.is_unspecified and (both or own.version == address.version) and _is_ours(address)


def _is_ours(address: IpAddress) -> bool:
    """Whether this machine has it."""
    with socket.socket(socket.AF_INET if address.version == 4 else socket.AF_INET6, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((str(address), 0))
        except OSError:
            return False
        return True


async def _addresses(host: str) -> Iterable[IpAddress]:
    try:
        return [_plain(host)]
    except ValueError:
        pass
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return {_plain(str(address[0])) for _, _, _, _, address in found}


def _plain(text: str) -> IpAddress:
    address = ipaddress.ip_address(text)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
