"""A proxy that is its own origin is refused at the start, however its address is written."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import pytest

from penstock.cli.main import run_command
from penstock.errors import UsageError
from penstock.inbound.proxy.own_address import refuse_itself
from penstock.wire.url import split_url

PORT = 8080
pytestmark = pytest.mark.real


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names as a machine may know them."""
    known = {
        "localhost": ["::1", "127.0.0.1"],
        "app.internal": ["198.51.100.9"],
        "both.internal": ["198.51.100.9", "127.0.0.1"],
    }

    async def getaddrinfo(loop: object, host: str, port: object, **_more: object) -> list[tuple[object, ...]]:
        if host not in known:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(0, 0, 0, "", (address, 0)) for address in known[host]]

    monkeypatch.setattr(asyncio.base_events.BaseEventLoop, "getaddrinfo", getaddrinfo)


def refused(origin: str, host: str, port: int = PORT, sock: socket.socket | None = None) -> bool:
    try:
        asyncio.run(refuse_itself(split_url(origin)[0], host, port, sock))
    except UsageError:
        return True
    return False


@pytest.mark.parametrize(
    ("host", "origin", "itself"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "localhost", True),
        ("127.0.0.1", "0.0.0.0", True),
        ("127.0.0.1", "[::ffff:127.0.0.1]", True),
        ("127.0.0.1", "127.0.0.2", False),
        ("127.0.0.1", "[::1]", False),
        ("127.0.0.1", "app.internal", False),
        ("127.0.0.1", "both.internal", True),
        ("127.0.0.1", "unknown.internal", False),
        ("localhost", "127.0.0.1", True),
        ("localhost", "[::1]", True),
        ("localhost", "localhost", True),
        ("0.0.0.0", "127.0.0.1", True),
        ("0.0.0.0", "127.0.0.2", True),
        ("0.0.0.0", "localhost", True),
        ("0.0.0.0", "[::1]", False),
        ("0.0.0.0", "198.51.100.9", False),
        ("::1", "[::1]", True),
        ("::1", "[::]", True),
        ("::1", "localhost", True),
        ("::1", "127.0.0.1", False),
        ("::", "[::1]", True),
        ("::", "127.0.0.1", False),
        ("::", "app.internal", False),
    ],
)
def test_every_way_to_write_an_address(host: str, origin: str, itself: bool) -> None:
    assert refused(f"http://{origin}:{PORT}", host) == itself
    assert not refused(f"http://{origin}:{PORT + 1}", host), "another port is another server"


@pytest.fixture
def open_socket() -> Iterator[socket.socket]:
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as made:
        yield made


def test_a_socket_that_was_handed_over_is_looked_at_itself(open_socket: socket.socket) -> None:
    """Systemd's default is one socket for both families; --listen says nothing then."""
    port = open_socket.getsockname()[1]
    for host in ("127.0.0.1", "[::1]", "localhost"):
        assert refused(f"http://{host}:{port}", "127.0.0.1", 1, open_socket)
    assert not refused(f"http://198.51.100.9:{port}", "127.0.0.1", 1, open_socket)


def test_the_command_ends_with_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        # Taken: were it not refused, it would end with another line and not hang.
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        assert run_command(["proxy", "--origin", f"http://{where}", "--listen", where]) == 2
    said = capsys.readouterr().err
    assert said == (
        f"penstock: --origin http://{where} is this proxy itself, which listens on {where}: say where the app listens\n"
    )
