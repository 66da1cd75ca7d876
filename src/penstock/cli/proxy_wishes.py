"""What a running proxy is asked for by signals: to stop, or to let a successor take over."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Sequence
from typing import Any

from .handover import start_successor
from .proxy_admin import Administered, start_admin
from .proxy_log import ProxyLog

_SUCCESSOR_SECONDS = 30.0


def listen_to_signals() -> asyncio.Queue[str]:
    """SIGTERM and SIGINT wish to stop, SIGUSR2 wishes for a successor; the first wish is kept until it is read."""
    loop = asyncio.get_running_loop()
    wishes: asyncio.Queue[str] = asyncio.Queue(maxsize=1)

    def wish(what: str) -> None:
        if not wishes.full():
            wishes.put_nowait(what)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, wish, "stop")
    loop.add_signal_handler(signal.SIGUSR2, wish, "restart")
    return wishes


async def has_successor(
    wishes: asyncio.Queue[str],
    administered: Administered,
    listening: Sequence[socket.socket],
    options: dict[str, Any],
    token: str,
    log: ProxyLog,
) -> bool:
    """Wait for a wish to stop, or (True) for a successor to take over, which gets the sockets `listening`."""
    while await wishes.get() == "restart":
        await administered.close_others()
        if await start_successor(listening, _SUCCESSOR_SECONDS):
            log.say("handed_over", "a new process has taken over")
            return True
        log.say("not_handed_over", "the new process did not come up; this one goes on", level="error")
        await start_admin(administered, options["admin"], token, options["metrics"], log)
    return False
