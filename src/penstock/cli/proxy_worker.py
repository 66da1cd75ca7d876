"""One process of `penstock proxy --processes N`: started by the parent with the same command, and by nobody else."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import shutil
import signal
import socket
import ssl
from pathlib import Path
from typing import Any

from ..clock import current_clock
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
_ORDER_SECONDS = 1.0
_PARENTS = (signal.SIGHUP, signal.SIGUSR2)


def is_worker() -> bool:
    """Whether a parent has started this process."""
    return WORKER in os.environ


def serve_as_worker(options: dict[str, Any]) -> int:
    """Serve until the parent says so, or has gone; the exit code."""
    for number in _PARENTS:
        # Who sends it to all processes, as `systemctl kill` does, means the parent, which orders what there is to do.
        signal.signal(number, signal.SIG_IGN)
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
        self._leaving: asyncio.Task[None] | None = None

    async def serve(self) -> int:
        """Until the parent says that it is the end, or has gone."""
        proxy, line, options = self.member.proxy, self._line, self._options
        duties = Duties(self.member, line, self._start, self._reload, proxy.server.drain, self._listening)
        if options["admin"] is not None or options["metrics"] is not None:
            duties.watch()
        tell_of_trouble(proxy, self._log)
        line.say({"up": True})
        serving = asyncio.ensure_future(duties.serve())
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._told_to_end, duties, serving)
        with contextlib.suppress(asyncio.CancelledError):
            if not await serving:
                await self._finish(duties)
                shutil.rmtree(self._folder, ignore_errors=True)
        await self._close()
        return 0

    def _told_to_end(self, duties: Duties, serving: asyncio.Future[bool]) -> None:
        """By a signal, not by the parent: what is under way is finished, and orders are still carried out."""
        if self._leaving is None:
            self._line.say({"leaving": True})
            self._leaving = asyncio.create_task(self._leave(duties, serving))

    async def _leave(self, duties: Duties, serving: asyncio.Future[bool]) -> None:
        await self._finish(duties)
        # Who stops all processes at once, as systemd does, stops the parent too: it lets all finish before one ends.
        await current_clock().sleep(_ORDER_SECONDS)
        if not duties.ends_by_order:
            serving.cancel()

    async def _finish(self, duties: Duties) -> None:
        """What is under way here, also for the others: there may be nobody who lets all finish before one ends."""
        timeout = self._options["drain_timeout"]
        until = current_clock().now() + timeout
        await duties.drain(timeout)
        await self.member.finish_for_others(until - current_clock().now())

    async def _close(self) -> None:
        tasks = [task for task in (self._looking, self._leaving) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
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
