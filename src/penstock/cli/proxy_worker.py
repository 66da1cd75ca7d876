"""One process of `penstock proxy --processes N`: started by the parent with the same command, and by nobody else."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import shutil
import signal
import socket
import ssl
from pathlib import Path
from typing import Any

from ..errors import PenstockError
from ..inbound.cache.policy import Policy
from ..inbound.cache.policy_file import policy_in
from ..inbound.processes.duties import Duties
from ..inbound.processes.member import CacheMember, Station
from ..inbound.processes.orders import OrderLine
from .certificate import read_tls
from .loop import run_loop
from .proxy_log import ProxyLog
from .proxy_processes import WORKER
from .proxy_serving import look_at_origin, open_access_log, read_settings, reload_all, tell_of_trouble

_USAGE = 2


def is_worker() -> bool:
    """Whether a parent has started this process."""
    return WORKER in os.environ


def serve_as_worker(options: dict[str, Any]) -> int:
    """Serve until the parent says so, or has gone; the exit code."""
    line, *listening = map(int, os.environ.pop(WORKER).split(","))
    # One that is shared has one number for all.
    socks = {number: socket.socket(fileno=number) for number in listening}
    return run_loop(_serve(options, socket.socket(fileno=line), [socks[number] for number in listening]))


class _ParentsLog(ProxyLog):
    """The parent says it: it knows what the others have said."""

    def __init__(self, line: OrderLine, form: str) -> None:
        super().__init__(form)
        self._line = line

    def say(self, event: str, text: str, *, level: str = "info", **fields: Any) -> None:
        """As of ProxyLog."""
        self._line.say({"say": [event, text, level, fields]})


async def _serve(options: dict[str, Any], control: socket.socket, listening: list[socket.socket]) -> int:
    line = await OrderLine.open(control)
    setup = await line.hear()
    if setup is None:
        return 0
    log = _ParentsLog(line, options["log"])
    with log.libraries():
        try:
            worker = _ProxyWorker(options, setup, line, listening, log)
            await worker.member.listen_to_others()
        except PenstockError as error:
            line.say({"failed": str(error)})
            await line.aclose()
            return _USAGE
        return await worker.serve()


class _ProxyWorker:
    def __init__(
        self,
        options: dict[str, Any],
        setup: dict[str, Any],
        line: OrderLine,
        listening: list[socket.socket],
        log: ProxyLog,
    ) -> None:
        self._options = options
        self._line = line
        self._listening = listening
        self._log = log
        self._folder = Path(setup["folder"])
        self._tls: ssl.SSLContext | None = read_tls(options["cert"], options["key"])
        settings = dataclasses.replace(read_settings({**options, "policy": None}), policy=self._policy(setup["policy"]))
        place = Station(
            setup["here"], setup["count"], self._folder, bytes.fromhex(setup["secret"]), setup["name"].encode()
        )
        self._access_log = open_access_log(options)
        self.member = CacheMember(settings, place, access_log=self._access_log)
        self.member.proxy.keep_collector_away()
        self._looking: asyncio.Task[None] | None = None

    async def serve(self) -> int:
        """Until the parent says that it is the end, or has gone."""
        proxy, line, options = self.member.proxy, self._line, self._options
        duties = Duties(self.member, line, self._start, self._reload, proxy.server.drain, self._listening)
        if options["admin"] is not None or options["metrics"] is not None:
            duties.watch()
        tell_of_trouble(proxy, self._log)
        line.say({"up": True})
        serving = asyncio.ensure_future(duties.serve())
        # Not the parent's way, but somebody's: what is under way is finished.
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, serving.cancel)
        try:
            in_order = await serving
        except asyncio.CancelledError:
            in_order = False
        if not in_order:
            # There is nobody who lets all of them finish before one ends.
            await self.member.drain(options["drain_timeout"])
            shutil.rmtree(self._folder, ignore_errors=True) if serving.done() and not serving.cancelled() else None
        await self._close()
        return 0

    async def _close(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        await self.member.aclose()
        if self._access_log is not None:
            self._access_log.close()
        self._line.close()

    async def _start(self) -> str:
        try:
            await self.member.start("", 0, tls=self._tls, sock=self._listening[self.member.place.here].dup())
        except PenstockError as error:
            return str(error)
        self._looking = asyncio.create_task(look_at_origin(self.member.proxy))
        return ""

    def _reload(self, text: str | None) -> str:
        try:
            reload_all(self.member.proxy, self._tls, self._options, self._access_log, lambda: self._policy(text))
        except PenstockError as error:
            return str(error)
        self.member.passing.forget()
        return ""

    def _policy(self, text: str | None) -> Policy:
        return Policy() if text is None else policy_in(text, self._options["policy"])
