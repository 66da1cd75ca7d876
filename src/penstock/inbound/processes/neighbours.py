"""The other processes of one proxy: where this one is asked by them, and how it reaches them."""

from __future__ import annotations

import asyncio
from hashlib import blake2b
from pathlib import Path

from ...clock import current_clock
from ...wire.unix_socket import open_unix_socket
from .asking_end import AskingEnd, Peer
from .frames import hello
from .owner_end import Owner, OwnerEnd

_AGAIN_SECONDS = 0.05
_LATER_SECONDS = 10.0
_GREETING_SECONDS = 5.0
_ONLY_MINE = 0o600


class Neighbours:
    """The sockets of all processes are in `folder`, `here` is the number of this one; `secret` is known to all."""

    def __init__(self, count: int, here: int, folder: Path, secret: bytes) -> None:
        self._here = here
        self._folder = folder
        self._greeting = hello(blake2b(b"hello", key=secret, digest_size=16).digest())
        self.peers = [Peer() for _ in range(count)]
        """By number. Nobody asks the one of this process itself."""
        self._tasks: list[asyncio.Task[None]] = []
        self._server: asyncio.AbstractServer | None = None
        self._owner: Owner | None = None

    async def listen(self, owner: Owner) -> None:
        """Let the others ask."""
        self._owner = owner
        sock = open_unix_socket(str(self._path(self._here)), _ONLY_MINE)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(lambda: OwnerEnd(owner, self._greeting), sock=sock)

    async def connect(self, patience: float) -> None:
        """Reach the others, now and whenever one comes back; those that are not there in `patience` s come later."""
        others = [(number, peer) for number, peer in enumerate(self.peers) if number != self._here]
        self._tasks = [asyncio.create_task(self._keep(number, peer)) for number, peer in others]
        try:
            async with asyncio.timeout(patience):
                for _, peer in others:
                    await peer.came.wait()
        except TimeoutError:
            pass

    async def aclose(self) -> None:
        """End all streams."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._server is not None:
            self._server.close()
        if self._owner is not None:
            for end in tuple(self._owner.ends):
                end.close()

    async def _keep(self, number: int, peer: Peer) -> None:
        """One task for each other process: it is connected, until it is lost, and so on."""
        loop = asyncio.get_running_loop()
        path = str(self._path(number))
        while True:
            try:
                transport, end = await loop.create_unix_connection(lambda: AskingEnd(peer, self._greeting), path)
            except OSError:
                seconds = _AGAIN_SECONDS
            else:
                timer = loop.call_later(_GREETING_SECONDS, end.give_up)
                try:
                    await end.lost
                finally:
                    timer.cancel()
                    transport.close()
                # Another version stays one until it is started again.
                seconds = _LATER_SECONDS if end.misunderstood else _AGAIN_SECONDS
            await current_clock().sleep(seconds)

    def _path(self, number: int) -> Path:
        return self._folder / f"{number}.sock"
