"""Which address is connected to, without a network."""

from __future__ import annotations

import asyncio
import socket

import pytest

from penstock.errors import ConnectError, ConnectTimeout, DnsError
from penstock.wire import dial as dialling
from penstock.wire.connection import Connection
from penstock.wire.url import UrlOrigin

from .fakes import run

ORIGIN = UrlOrigin("http", "host.example", 80)
V4, V6 = socket.AF_INET, socket.AF_INET6


def never() -> Connection:
    raise AssertionError("no connection was to be made")


def test_families_take_turns() -> None:
    addresses: list[dialling.Address] = [(V6, "a"), (V6, "b"), (V6, "b"), (V6, "c"), (V4, "d"), (V4, "e")]
    assert [a for _, a in dialling._interleave(addresses)] == ["a", "d", "b", "e", "c"]
    assert dialling._interleave([(V4, "a")]) == [(V4, "a")]


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", (V4, ("127.0.0.1", 80))), ("::1", (V6, ("::1", 80, 0, 0)))],
)
def test_literals_are_not_looked_up(host: str, expected: object) -> None:
    async def test() -> None:
        assert await dialling._resolve(UrlOrigin("http", host, 80)) == [expected]

    run(test)


class Network:
    """Connecting to "slow" takes for ever, to "dead" fails, to "up" works at once."""

    def __init__(self) -> None:
        self.tried: list[str] = []
        self.sockets: list[socket.socket] = []

    async def connect(self, address: tuple[int, str]) -> socket.socket:
        name = address[1]
        self.tried.append(name)
        if name == "slow":
            await asyncio.get_running_loop().create_future()
        if name == "dead":
            raise ConnectionRefusedError(111, "Connection refused")
        sock = socket.socket()
        self.sockets.append(sock)
        return sock

    def open_sockets(self) -> int:
        return sum(sock.fileno() != -1 for sock in self.sockets)


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Network:
    made = Network()
    monkeypatch.setattr(dialling, "_connect", made.connect)
    monkeypatch.setattr(dialling, "HAPPY_EYEBALLS_DELAY", 0.001)
    return made


@pytest.mark.parametrize(
    ("names", "tried"),
    [
        (["up"], ["up"]),
        (["up", "up"], ["up"]),
        (["dead", "up"], ["dead", "up"]),
        (["slow", "up"], ["slow", "up"]),
        (["slow", "dead", "slow", "up"], ["slow", "dead", "slow", "up"]),
    ],
)
def test_the_first_address_that_answers_wins(network: Network, names: list[str], tried: list[str]) -> None:
    async def test() -> None:
        sock = await dialling._connect_first([(V4, n) for n in names], ORIGIN)
        assert network.tried == tried
        await asyncio.sleep(0)
        assert network.open_sockets() == 1
        sock.close()

    run(test)


@pytest.mark.parametrize("names", [["dead"], ["dead", "dead"]])
def test_no_address_that_answers_is_a_connect_error(network: Network, names: list[str]) -> None:
    async def test() -> None:
        with pytest.raises(ConnectError, match="connection refused"):
            await dialling._connect_first([(V4, n) for n in names], ORIGIN)

    run(test)


def test_silence_is_a_connect_timeout_that_leaves_nothing_open(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def resolve(origin: UrlOrigin) -> list[tuple[int, str]]:
        return [(V4, "slow"), (V6, "slow")]

    monkeypatch.setattr(dialling, "_resolve", resolve)

    async def test() -> None:
        with pytest.raises(ConnectTimeout, match=r"host\.example: no connection within 0\.01 s"):
            await dialling.dial(ORIGIN, None, 0.01, never)
        await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) == 1

    run(test)


@pytest.mark.parametrize("error", [socket.gaierror(-2, "Name or service not known"), UnicodeError("label too long")])
def test_a_failed_look_up_is_a_dns_error(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        async def fail(*args: object, **options: object) -> None:
            raise error

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", fail, raising=False)
        with pytest.raises(DnsError, match=r"host\.example"):
            await dialling.dial(ORIGIN, None, 1, never)

    run(test)


def test_a_loser_that_connects_late_is_closed(network: Network) -> None:
    async def test() -> None:
        sock = socket.socket()

        async def late() -> socket.socket:
            return sock

        task = asyncio.create_task(late())
        await asyncio.sleep(0)
        dialling._close_loser(task)
        assert sock.fileno() == -1

    run(test)
