"""How the wire keeps, reuses and closes real connections."""

from __future__ import annotations

import asyncio
import dataclasses
import socket
import ssl
from collections.abc import Callable

import pytest

from penstock.errors import ConnectionLost, ConnectTimeout, Sent, UsageError
from penstock.messages import Request
from penstock.wire import Client, ClientStatistics

from .conftest import Bench
from .scripted_server import OK, Peer, Script, always, once, response, serving

pytestmark = pytest.mark.real


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until `condition()` is true; the test's own timeout ends a vain wait."""
    while not condition():
        await asyncio.sleep(0.001)


def counts(client: Client) -> tuple[int, int, int]:
    now = client.statistics()
    return now.in_use, now.idle, now.waiting


def test_statistics_and_repr_tell_what_is_held(wire: Bench) -> None:
    async def test() -> None:
        gate = asyncio.Event()

        async def script(peer: Peer) -> None:
            while True:
                await peer.request()
                await gate.wait()
                await peer.send(OK)

        async with serving(script) as server, wire.client(max_connections_per_origin=2) as client:
            assert client.statistics() == ClientStatistics(0, 0, 0, 0, 0)
            calls = [asyncio.create_task(client(Request("GET", server.url))) for _ in range(5)]
            await until(lambda: len(server.requests) == 2)
            assert repr(client) == "<Client 2 in use, 0 idle, 3 waiting, 2 opened>"
            gate.set()
            await asyncio.gather(*calls)
            assert repr(client) == "<Client 0 in use, 2 idle, 0 waiting, 2 opened>"
            with pytest.raises(dataclasses.FrozenInstanceError):
                client.statistics().idle = 3

    wire.run(test)


def test_waiting_calls_are_served_first_come_first_served(wire: Bench) -> None:
    async def test() -> None:
        async with serving(always(OK)) as server, wire.client(max_connections_per_origin=1) as client:
            paths = [f"/{n}" for n in range(50)]
            await asyncio.gather(*(client(Request("GET", server.url + path)) for path in paths))
            assert [r.split()[1].decode() for r in server.requests] == paths
            assert server.connections == 1

    wire.run(test)


def test_a_slot_is_handed_on_when_every_connection_closes(wire: Bench) -> None:
    async def test() -> None:
        answer = response("200 OK", b"ok", "Connection: close")
        async with serving(always(answer)) as server, wire.client(max_connections_per_origin=2) as client:
            await asyncio.gather(*(client(Request("POST", server.url)) for _ in range(20)))
            assert server.connections == 20
            await until(lambda: counts(client) == (0, 0, 0))

    wire.run(test)


def test_a_failing_origin_fails_every_waiting_call(wire: Bench) -> None:
    async def test() -> None:
        async with serving(once(b"")) as server, wire.client(max_connections_per_origin=2) as client:
            calls = (client(Request("POST", server.url)) for _ in range(20))
            results = await asyncio.gather(*calls, return_exceptions=True)
            assert {type(r) for r in results} == {ConnectionLost}
            assert counts(client) == (0, 0, 0)

    wire.run(test)


def test_the_connection_used_last_is_used_next(wire: Bench) -> None:
    async def test() -> None:
        order: list[int] = []

        async def script(peer: Peer) -> None:
            me = peer.server.connections
            while True:
                await peer.request()
                order.append(me)
                await peer.send(OK)

        async with serving(script) as server, wire.client() as client:
            for _ in range(20):
                # Until the server has shown that kept connections live.
                await client(Request("GET", server.url))
            order.clear()
            await asyncio.gather(*(client(Request("GET", server.url)) for _ in range(3)))
            last = order[-1]
            for _ in range(5):
                await client(Request("GET", server.url))
            assert order[3:] == [last] * 5

    wire.run(test)


def test_an_idle_connection_is_closed_after_its_time(wire: Bench) -> None:
    async def test() -> None:
        async with serving(always(OK)) as server, wire.client(idle_timeout=0.05) as client:
            await client(Request("GET", server.url))
            assert counts(client) == (0, 1, 0)
            await until(lambda: counts(client) == (0, 0, 0) and server.closed_by_client == 1)
            await client(Request("GET", server.url))
            assert server.connections == 2

    wire.run(test)


def test_a_promise_to_close_soon_is_believed(wire: Bench) -> None:
    async def test() -> None:
        answer = response("200 OK", b"ok", "Keep-Alive: timeout=1, max=9")
        async with serving(always(answer)) as server, wire.client() as client:
            for _ in range(3):
                await client(Request("POST", server.url))
            assert server.connections == 3

    wire.run(test)


def test_a_connection_seen_closed_is_not_used(wire: Bench) -> None:
    async def test() -> None:
        async with serving(once(OK)) as server, wire.client() as client:
            for n in range(5):
                await client(Request("POST", server.url))
                await until(lambda: counts(client) == (0, 0, 0))
                assert server.connections == n + 1
            assert client.statistics().repeated == 0

    wire.run(test)


def _close_on_second_request(*, reset: bool) -> Script:
    async def script(peer: Peer) -> None:
        await peer.answer(OK)
        if peer.server.connections == 1:
            await peer.request()
            if reset:
                peer.reset()
            return
        while True:
            await peer.answer(OK)

    return script


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize(
    ("method", "headers"), [("GET", {}), ("PUT", {}), ("DELETE", {}), ("POST", {"Idempotency-Key": "1"})]
)
def test_a_stale_connection_is_replaced_where_that_is_safe(
    wire: Bench, method: str, headers: dict[str, str], reset: bool
) -> None:
    async def test() -> None:
        async with serving(_close_on_second_request(reset=reset)) as server, wire.client() as client:
            for _ in range(2):
                assert (await client(Request(method, server.url, headers))).body == b"ok"
            assert len(server.requests) == 3
            assert client.statistics().repeated == 1
            assert counts(client) == (0, 1, 0)

    wire.run(test)


@pytest.mark.parametrize("reset", [False, True])
def test_a_stale_connection_is_an_unknown_fate_where_it_is_not_safe(wire: Bench, reset: bool) -> None:
    async def test() -> None:
        async with serving(_close_on_second_request(reset=reset)) as server, wire.client() as client:
            await client(Request("POST", server.url))
            with pytest.raises(ConnectionLost) as caught:
                await client(Request("POST", server.url))
            assert caught.value.sent is Sent.UNKNOWN
            assert len(server.requests) == 2
            assert counts(client) == (0, 0, 0)

    wire.run(test)


def test_a_request_is_repeated_once_and_only_after_a_reused_connection(wire: Bench) -> None:
    async def test() -> None:
        async def script(peer: Peer) -> None:
            if peer.server.connections == 1:
                await peer.answer(OK)
            await peer.request()

        async with serving(script) as server, wire.client() as client:
            await client(Request("GET", server.url))
            with pytest.raises(ConnectionLost):
                await client(Request("GET", server.url))
            assert len(server.requests) == 3
            with pytest.raises(ConnectionLost):
                await client(Request("GET", server.url))
            assert len(server.requests) == 4

    wire.run(test)


def test_a_request_is_repeated_on_a_new_connection_though_others_are_idle(wire: Bench) -> None:
    """The others are as old, and just as likely to be stale."""

    async def test() -> None:
        async def script(peer: Peer) -> None:
            old = peer.server.connections <= 3
            await peer.answer(OK)
            await peer.request()
            if not old:
                await peer.send(OK)

        async with serving(script) as server, wire.client() as client:
            await asyncio.gather(*(client(Request("GET", server.url)) for _ in range(3)))
            assert (await client(Request("GET", server.url))).body == b"ok"
            assert (server.connections, client.statistics().repeated) == (4, 1)

    wire.run(test)


@pytest.mark.parametrize("how", ["once", "prepared", "told at the start"])
def test_nothing_is_repeated_where_one_permit_is_for_one_send(wire: Bench, how: str) -> None:
    """A repeat that no limit has permitted would put the sends above it, so it is left to whoever keeps the limit."""

    async def test() -> None:
        async with (
            serving(_close_on_second_request(reset=False)) as server,
            wire.client(repeat_stale=how != "told at the start") as client,
        ):
            request = Request("GET", server.url)
            await client(request)
            if how == "once":
                sending = client.once(request)
            elif how == "prepared":
                sending = (await client.prepare(request)).send()
            else:
                sending = client(request)
            with pytest.raises(ConnectionLost):
                await sending
            assert len(server.requests) == 2
            assert client.statistics().repeated == 0

    wire.run(test)


GOODBYE = response("408 Request Timeout", b"", "Connection: close")
# As HAProxy said it for long.
GOODBYES = {
    "with a length": GOODBYE,
    "until the end": b"HTTP/1.0 408 Request Time-out\r\nConnection: close\r\n\r\n<html>",
}


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [("GET", {}, 200), ("PUT", {}, 200), ("POST", {"Idempotency-Key": "1"}, 200), ("POST", {}, 408)],
)
@pytest.mark.parametrize("goodbye", GOODBYES)
def test_a_goodbye_that_crosses_a_request_is_no_answer_to_it(
    wire: Bench, method: str, headers: dict[str, str], status: int, goodbye: str
) -> None:
    """RFC 9110, 15.5.9: the server had waited for a request on a kept connection, and never saw this one."""

    async def test() -> None:
        async def script(peer: Peer) -> None:
            await peer.answer(OK)
            while peer.server.connections > 1:
                await peer.answer(OK)
            await peer.reader.read(1)
            await peer.send(GOODBYES[goodbye])

        async with serving(script) as server, wire.client() as client:
            request = Request(method, server.url, headers)
            await client(request)
            assert (await client(request)).status == status
            assert client.statistics().repeated == (status == 200)
            await client(request)
            assert client.statistics().idle >= 1, "nobody is distrusted for it"
            assert client.statistics().died == 1, "but it was closed, as without a word"

    wire.run(test)


@pytest.mark.parametrize(
    "answer",
    [GOODBYE, response("408 Request Timeout"), response("503 Busy", b"", "Connection: close")],
)
def test_an_answer_that_is_no_goodbye_is_handed_on(wire: Bench, answer: bytes) -> None:
    """A 408 to the first request of a connection, one that keeps it, and any other last answer."""

    async def test() -> None:
        async def script(peer: Peer) -> None:
            if answer is not GOODBYE:
                await peer.answer(OK)
            await peer.answer(answer)

        async with serving(script) as server, wire.client() as client:
            if answer is not GOODBYE:
                await client(Request("GET", server.url))
            assert (await client(Request("GET", server.url))).status in (408, 503)
            assert client.statistics().repeated == 0

    wire.run(test)


@pytest.mark.parametrize("how", ["once", "prepared", "told at the start"])
def test_after_a_goodbye_nothing_is_repeated_where_one_permit_is_for_one_send(wire: Bench, how: str) -> None:
    async def test() -> None:
        async def script(peer: Peer) -> None:
            await peer.answer(OK)
            await peer.answer(GOODBYE)

        async with serving(script) as server, wire.client(repeat_stale=how != "told at the start") as client:
            request = Request("GET", server.url)
            await client(request)
            if how == "once":
                sending = client.once(request)
            else:
                sending = (await client.prepare(request)).send() if how == "prepared" else client(request)
            assert (await sending).status == 408
            assert len(server.requests) == 2

    wire.run(test)


def test_a_partial_answer_is_not_repeated(wire: Bench) -> None:
    async def test() -> None:
        async def script(peer: Peer) -> None:
            await peer.answer(OK)
            await peer.answer(b"H")

        async with serving(script) as server, wire.client() as client:
            await client(Request("GET", server.url))
            with pytest.raises(ConnectionLost) as caught:
                await client(Request("GET", server.url))
            assert caught.value.sent is Sent.YES
            assert len(server.requests) == 2

    wire.run(test)


@pytest.mark.parametrize("surplus", [b"x", b"\r\n", OK, b"HTTP/1.1 200 OK\r\n"])
def test_bytes_after_an_answer_cost_the_connection(wire: Bench, surplus: bytes) -> None:
    async def test() -> None:
        async with serving(always(OK + surplus)) as server, wire.client() as client:
            for _ in range(3):
                assert (await client(Request("POST", server.url))).body == b"ok"
            assert server.connections == 3

    wire.run(test)


def test_bytes_on_an_idle_connection_close_it(wire: Bench) -> None:
    async def test() -> None:
        async def script(peer: Peer) -> None:
            await peer.answer(OK)
            await asyncio.sleep(0.02)
            await peer.send(response("200 OK", b"poison"))
            await peer.request()

        async with serving(script) as server, wire.client() as client:
            for _ in range(2):
                assert (await client(Request("POST", server.url))).body == b"ok"
                await until(lambda: counts(client) == (0, 0, 0))
            assert server.connections == 2

    wire.run(test)


def test_an_early_answer_is_returned_and_its_connection_is_not_reused(wire: Bench) -> None:
    async def test() -> None:
        async def script(peer: Peer) -> None:
            await peer.reader.readuntil(b"\r\n\r\n")
            await peer.send(response("413 Content Too Large", b"no"))
            await asyncio.sleep(0.05)

        async with serving(script) as server, wire.client() as client:
            for _ in range(2):
                got = await client(Request("POST", server.url, body=bytes(30_000_000)))
                assert (got.status, got.body) == (413, b"no")
                assert counts(client) == (0, 0, 0)
            assert server.connections == 2

    wire.run(test)


def test_a_large_body_arrives_whole(wire: Bench) -> None:
    async def test() -> None:
        async def script(peer: Peer) -> None:
            while True:
                await peer.send(response("200 OK", str(len(await peer.request())).encode()))

        async with serving(script) as server, wire.client() as client:
            for _ in range(2):
                got = await client(Request("POST", server.url, body=bytes(20_000_000)))
                assert int(got.body) > 20_000_000
            assert server.connections == 1

    wire.run(test)


def test_a_connection_that_takes_too_long_is_a_connect_timeout(wire: Bench) -> None:
    """The listener's queue is full, so the handshake of one more connection is never answered."""

    async def test() -> None:
        with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
            fillers = [socket.socket() for _ in range(4)]
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(full.getsockname())
            async with wire.client(connect_timeout=0.1) as client:
                with pytest.raises(ConnectTimeout) as caught:
                    await client(Request("GET", f"http://127.0.0.1:{full.getsockname()[1]}"))
                assert caught.value.sent is Sent.NO
                assert counts(client) == (0, 0, 0)
            for filler in fillers:
                filler.close()

    wire.run(test)


def test_the_second_address_is_tried_when_the_first_does_not_answer(wire: Bench) -> None:
    async def test() -> None:
        async with serving(always(OK)) as server, wire.client() as client:
            # Resolves to ::1 first where the system has it; nothing listens there.
            url = f"http://localhost:{server.port}/"
            assert (await client(Request("GET", url))).body == b"ok"
            assert counts(client) == (0, 1, 0)

    wire.run(test)


def test_an_ipv6_literal_is_connected_to_and_named_in_host(wire: Bench) -> None:
    async def test() -> None:
        seen: list[bytes] = []

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            seen.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(OK)
            writer.close()

        try:
            listener = await asyncio.start_server(handle, "::1", 0)
        except OSError:
            pytest.skip("this machine has no IPv6 loopback")
        port = listener.sockets[0].getsockname()[1]
        async with listener, wire.client() as client:
            assert (await client(Request("GET", f"http://[::1]:{port}/"))).body == b"ok"
        assert f"\r\nHost: [::1]:{port}\r\n".encode() in seen[0]

    wire.run(test)


def test_prepare_opens_and_send_sends(wire: Bench) -> None:
    async def test() -> None:
        async with serving(always(OK)) as server, wire.client() as client:
            prepared = await client.prepare(Request("POST", server.url, body=b"x"))
            assert counts(client) == (1, 0, 0)
            await until(lambda: server.connections == 1)
            assert server.requests == []
            assert (await prepared.send()).body == b"ok"
            assert counts(client) == (0, 1, 0)
            with pytest.raises(UsageError, match="already"):
                await prepared.send()
            prepared.release()
            assert counts(client) == (0, 1, 0)

    wire.run(test)


def test_packets_are_not_held_back(wire: Bench) -> None:
    """With Nagle's algorithm on, the end of a long request would wait for an acknowledgement."""

    async def test() -> None:
        async with serving(always(OK)) as server, wire.client() as client:
            prepared = await client.prepare(Request("GET", server.url))
            (connection,) = next(iter(client._pools.values())).connections
            sock = connection._transport.get_extra_info("socket")
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            prepared.release()

    wire.run(test)


def test_release_gives_the_connection_to_the_next(wire: Bench) -> None:
    async def test() -> None:
        async with serving(always(OK)) as server, wire.client(max_connections_per_origin=1) as client:
            prepared = await client.prepare(Request("GET", server.url))
            waiting = asyncio.create_task(client.prepare(Request("GET", server.url)))
            await until(lambda: counts(client) == (1, 0, 1))
            prepared.release()
            prepared.release()
            assert (await (await waiting).send()).body == b"ok"
            assert counts(client) == (0, 1, 0)
            assert len(server.requests) == server.connections == 1

    wire.run(test)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_prepared_connection_that_closed_is_replaced(wire: Bench, method: str) -> None:
    async def test() -> None:
        async def script(peer: Peer) -> None:
            if peer.server.connections == 1:
                await asyncio.sleep(0.01)
                return
            await peer.answer(OK)

        async with serving(script) as server, wire.client(max_connections_per_origin=1) as client:
            prepared = await client.prepare(Request(method, server.url))
            connection = next(iter(client._pools.values())).connections
            await until(lambda: not connection)
            assert (await prepared.send()).body == b"ok"
            assert (server.connections, len(server.requests)) == (2, 1)

    wire.run(test)


def test_closing_the_client_ends_calls_under_way_and_waiting(wire: Bench) -> None:
    async def test() -> None:
        async def script(peer: Peer) -> None:
            await peer.request()
            await asyncio.sleep(20)

        async with serving(script) as server:
            client = wire.client(max_connections_per_origin=1)
            calls = [asyncio.create_task(client(Request("GET", server.url))) for _ in range(3)]
            await until(lambda: len(server.requests) == 1)
            await client.aclose()
            results = await asyncio.gather(*calls, return_exceptions=True)
            assert [type(r) for r in results] == [ConnectionLost, UsageError, UsageError]

    wire.run(test)


def test_a_client_belongs_to_one_loop(wire: Bench) -> None:
    client = Client()

    async def first() -> None:
        async with serving(once(OK)) as server:
            await client(Request("POST", server.url))
            await until(lambda: counts(client) == (0, 0, 0))
            await client.aclose()
            client._closed = False

    async def second() -> None:
        with pytest.raises(UsageError, match="loop"):
            await client(Request("GET", "http://127.0.0.1:1/"))

    wire.run(first)
    wire.run(second)


def test_plain_http_never_makes_a_tls_context(wire: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> ssl.SSLContext:
        raise AssertionError("made")

    monkeypatch.setattr(ssl, "create_default_context", refuse)

    async def test() -> None:
        async with serving(always(OK)) as server, wire.client() as client:
            await client(Request("GET", server.url))

    wire.run(test)
