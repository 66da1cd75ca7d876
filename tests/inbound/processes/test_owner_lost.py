"""An owner dies: each of those who wait for it is told, whatever became of the one before."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from penstock.inbound.processes.asking_end import Peer
from penstock.testing import run_virtual

from ..proxy.real_tools import Asked, run_real
from .crew import crew

FRESH = "Cache-Control: max-age=60"
MANY = ("DNT:",) * 200
"""More fields than are taken, in a request that is passed on by what its bytes say."""


async def fresh(asked: Asked) -> None:
    await asked.answer(FRESH, body=asked.target.encode())


@pytest.mark.parametrize("bad_first", [True, False])
def test_a_request_that_nobody_would_take_holds_up_no_other(bad_first: bool) -> None:
    async def main() -> None:
        async with crew(fresh) as two:
            target = two.target_of(1)
            bad, good = await two.connect(0), await two.connect(0)
            for client in (bad, good):
                await client.get(target)
            for end in two.members[1]._owner.ends:
                # It hangs: what it is asked from now on it does not answer.
                assert end._transport is not None
                end._transport.pause_reading()
            waiting = two.members[0].neighbours.peers[1].waiting
            for count, client in enumerate((bad, good) if bad_first else (good, bad), 1):
                await client.send(target, *(MANY if client is bad else ()))
                async with asyncio.timeout(5):
                    while len(waiting) < count:
                        await asyncio.sleep(0.001)
            await two.kill(1)
            async with asyncio.timeout(5):
                assert (await good.answer())[2] == target.encode()
                assert (await bad.head())[0] == 431
                await bad.reader.read()
            assert two.members[0].proxy.server.busy == 0

    run_real(main)


class _Waiting:
    def __init__(self, *, fails: bool) -> None:
        self.fails = fails
        self.told = False

    def owner_lost(self) -> None:
        self.told = True
        if self.fails:
            raise RuntimeError("whatever")


def test_one_that_fails_is_not_the_last_that_is_told(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        peer, end = Peer(), _End()
        peer.is_up(end)  # type: ignore[arg-type]
        all_of_them: list[Any] = [_Waiting(fails=fails) for fails in (True, False)]
        for waiting in all_of_them:
            peer.ask(waiting, "", b"x", tls=False)
        peer.is_down(end)  # type: ignore[arg-type]
        assert all(waiting.told for waiting in all_of_them)
        assert "whatever" in caplog.text

    run_virtual(main())


class _End:
    full = False

    def put(self, *parts: bytes) -> None: ...
