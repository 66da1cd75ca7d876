"""Request bodies on their way to another process: paused where it is slow, and never for longer."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.inbound.processes.asking_end import Peer
from penstock.inbound.processes.forwarded import Forwarded
from penstock.inbound.processes.frames import WINDOW
from penstock.testing import run_virtual

from .fake_links import FakeClient


class _End:
    """Of a stream; full when the test says so."""

    full = False

    def put(self, *parts: bytes) -> None: ...


class _Sending(FakeClient):
    """A client with a body that goes on for ever; `on_pump` is called when more of it may come."""

    def __init__(self, peer: Peer) -> None:
        super().__init__("/")
        self.on_pump: Any = None
        self.forwarded = Forwarded(self.exchange, peer, lambda: None, lambda exchange: None)
        assert self.forwarded.begin()
        self.forwarded.credit(WINDOW)

    def pump(self) -> None:
        if self.on_pump is not None and not self.exchange.body_paused:
            self.on_pump()

    def sends(self, size: int) -> None:
        assert self.exchange.on_data is not None
        self.exchange.on_data(b"x" * size)


def _peer() -> tuple[Peer, _End]:
    peer, end = Peer(), _End()
    peer.is_up(end)  # type: ignore[arg-type]
    return peer, end


@pytest.mark.parametrize("pieces", [1, 2])
def test_a_body_that_may_go_on_while_the_stream_is_full_goes_on_when_it_is_not(pieces: int) -> None:
    """Its last credit comes while others fill the stream: no other will come, as all that was sent is taken."""

    async def main() -> None:
        peer, end = _peer()
        client = _Sending(peer)
        client.sends(WINDOW)
        assert client.exchange.body_paused
        end.full = True
        for _ in range(pieces):
            client.forwarded.credit(WINDOW // pieces)
        assert client.exchange.body_paused
        end.full = False
        peer.on_room()
        assert not client.exchange.body_paused

    run_virtual(main())


def test_whoever_finds_the_stream_full_again_waits_for_the_next_room() -> None:
    async def main() -> None:
        peer, end = _peer()
        clients = [_Sending(peer) for _ in range(5)]
        end.full = True
        for client in clients:
            client.sends(1)

            def fill(client: _Sending = client) -> None:
                end.full = True
                client.sends(1)

            client.on_pump = fill
        for gone_on in range(1, 6):
            end.full = False
            peer.on_room()
            assert end.full, f"nobody went on the {gone_on}th time"
        end.full = False
        for client in clients:
            client.on_pump = None
        peer.on_room()
        assert not any(client.exchange.body_paused for client in clients)

    run_virtual(main())
