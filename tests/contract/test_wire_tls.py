"""TLS: verified by default, and every refusal is a TlsError."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading

import pytest
import trustme

from penstock.errors import CallError, ConnectError, Sent, TlsError
from penstock.messages import Request

from .conftest import Bench
from .scripted_server import OK, Peer, always, once, serving

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


def server_side(ca: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(*names).configure_cert(context)
    return context


def client_side(ca: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    ca.configure_trust(context)
    return context


def test_a_certificate_of_a_known_authority_is_accepted(bench: Bench, ca: trustme.CA) -> None:
    async def test() -> None:
        accepting, trust = server_side(ca, "127.0.0.1"), client_side(ca)
        async with serving(always(OK), accepting) as server, bench.client(tls=trust) as client:
            for _ in range(3):
                assert (await client(Request("POST", server.url, body=b"x" * 100_000))).body == b"ok"
            assert server.connections == 1

    bench.run(test)


def test_the_server_name_and_the_protocol_are_sent(wire: Bench, ca: trustme.CA) -> None:
    async def test() -> None:
        names: list[str | None] = []
        chosen: list[str | None] = []
        context = server_side(ca, "localhost")
        context.set_alpn_protocols(["h2", "http/1.1"])
        context.sni_callback = lambda _, name, __: names.append(name)
        trust = client_side(ca)
        trust.set_alpn_protocols(["http/1.1"])

        async def script(peer: Peer) -> None:
            chosen.append(peer.writer.get_extra_info("ssl_object").selected_alpn_protocol())
            await peer.answer(OK)

        async with serving(script, context) as server, wire.client(tls=trust) as client:
            await client(Request("GET", f"https://localhost:{server.port}/"))
        assert names == ["localhost"]
        assert chosen == ["http/1.1"]

    wire.run(test)


def test_a_context_that_lets_the_peer_choose_http2_is_refused(wire: Bench, ca: trustme.CA) -> None:
    async def test() -> None:
        context, trust = server_side(ca, "127.0.0.1"), client_side(ca)
        for side in (context, trust):
            side.set_alpn_protocols(["h2"])
        async with serving(always(OK), context) as server, wire.client(tls=trust) as client:
            with pytest.raises(TlsError, match="h2"):
                await client(Request("GET", server.url))
            assert client.statistics().in_use == 0

    wire.run(test)


def test_an_unknown_authority_is_refused_by_default(bench: Bench, ca: trustme.CA) -> None:
    async def test() -> None:
        async with serving(always(OK), server_side(ca, "127.0.0.1")) as server, bench.client() as client:
            with pytest.raises(TlsError, match="certificate") as caught:
                await client(Request("GET", server.url))
            assert caught.value.sent is Sent.NO
            assert server.requests == []

    bench.run(test)


def test_a_certificate_for_another_host_is_refused(bench: Bench, ca: trustme.CA) -> None:
    async def test() -> None:
        other, trust = server_side(ca, "example.com"), client_side(ca)
        async with serving(always(OK), other) as server, bench.client(tls=trust) as client:
            with pytest.raises(TlsError):
                await client(Request("GET", server.url))

    bench.run(test)


def test_a_server_without_tls_is_a_connect_error(bench: Bench) -> None:
    async def test() -> None:
        async def script(peer: Peer) -> None:
            await peer.reader.read(10)
            await peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        async with serving(script) as server, bench.client() as client:
            with pytest.raises(TlsError):
                await client(Request("GET", server.url.replace("http:", "https:")))

    bench.run(test)


def test_a_server_that_hangs_up_in_the_handshake_is_a_connect_error(bench: Bench) -> None:
    async def test() -> None:
        async def script(peer: Peer) -> None:
            await peer.reader.read(10)

        async with serving(script) as server, bench.client() as client:
            with pytest.raises(ConnectError):
                await client(Request("GET", server.url.replace("http:", "https:")))

    bench.run(test)


def test_a_client_certificate_that_is_missing_is_a_tls_error(wire: Bench, ca: trustme.CA) -> None:
    """With TLS 1.3 the refusal comes when the handshake is over for the client.

    The server is a thread, because asyncio's own hangs up without sending the alert.
    """
    context = server_side(ca, "127.0.0.1")
    context.verify_mode = ssl.CERT_REQUIRED
    ca.configure_trust(context)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        accepted = listener.accept()[0]
        accepted.settimeout(5)
        with context.wrap_socket(accepted, server_side=True, do_handshake_on_connect=False) as tls:
            with contextlib.suppress(ssl.SSLError):
                tls.do_handshake()
            # Closed with bytes unread, it would send RST, which overtakes the alert.
            socket.socket.shutdown(tls, socket.SHUT_WR)
            while socket.socket.recv(tls, 65536):
                pass

    async def test() -> None:
        async with wire.client(tls=client_side(ca)) as client:
            with pytest.raises(TlsError):
                await client(Request("POST", f"https://127.0.0.1:{listener.getsockname()[1]}/"))
            assert client.statistics().in_use == 0

    server = threading.Thread(target=serve)
    server.start()
    with listener:
        wire.run(test)
        server.join()


def test_a_call_cancelled_in_the_handshake_closes_its_socket(wire: Bench) -> None:
    async def test() -> None:
        async def script(peer: Peer) -> None:
            while await peer.reader.read(1000):
                pass
            raise EOFError

        async with serving(script) as server, wire.client() as client:
            task = asyncio.ensure_future(client(Request("GET", server.url.replace("http:", "https:"))))
            while not server.connections:
                await asyncio.sleep(0.001)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert client.statistics().in_use == 0
            while not server.closed_by_client:
                await asyncio.sleep(0.001)

    wire.run(test)


def test_an_answer_cut_short_over_tls_is_a_call_error(bench: Bench, ca: trustme.CA) -> None:
    async def test() -> None:
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345"
        accepting, trust = server_side(ca, "127.0.0.1"), client_side(ca)
        async with serving(once(answer), accepting) as server, bench.client(tls=trust) as client:
            with pytest.raises(CallError):
                await client(Request("GET", server.url))

    bench.run(test)
