"""`penstock proxy --processes N`: the parent, which starts, watches and asks the others, and serves no client."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import ssl
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import PenstockError
from ..inbound.cache.policy import Policy
from ..inbound.cache.policy_file import policy_in, read_text
from ..inbound.processes.desk import CrewDesk
from ..inbound.processes.division import divided
from ..inbound.processes.orders import OrderLine
from ..inbound.processes.supervisor import Supervisor
from ..inbound.proxy.other_addresses import OtherAddresses
from ..inbound.proxy.own_address import refuse_itself
from ..inbound.proxy.proxy import ProxySettings, new_name
from ..wire.url import split_origin
from .certificate import read_tls
from .handover import tell_ready
from .listening import Listening, sockets_for
from .loop import run_loop
from .proxy_admin import shown_address, start_admin
from .proxy_check import check_config, warn_of_policy
from .proxy_log import ProxyLog
from .proxy_options import UnixAddress
from .proxy_wishes import has_successor, listen_to_signals

WORKER = "PENSTOCK_PROXY_PROCESS"
"""In the environment of a process that a parent has started: the numbers of its line, and of the listening sockets."""
_NOT_HANDED_ON = ("PENSTOCK_READY_FD", "PENSTOCK_LISTEN_FD")


def serve_in_processes(
    settings: ProxySettings, tls: ssl.SSLContext | None, options: dict[str, Any], token: str, log: ProxyLog
) -> int:
    """Serve until a signal ends it. Raises UsageError for what cannot be divided."""
    divided(settings, options["processes"])
    if options["check_config"]:
        return run_loop(check_config(settings, tls, options, log))
    folder = Path(tempfile.mkdtemp(prefix="penstock-"))
    try:
        return run_loop(_Parent(settings, options, token, log, folder).serve())
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _Parent:
    def __init__(
        self, settings: ProxySettings, options: dict[str, Any], token: str, log: ProxyLog, folder: Path
    ) -> None:
        self._settings = settings
        self._options = options
        self._token = token
        self._log = log
        self._folder = folder
        self._secret = os.urandom(16)
        self._name = new_name()
        self._policy = _policy_text(options["policy"])
        self._socks: Sequence[socket.socket] = ()
        self._others = OtherAddresses()
        self._said: dict[str, float] = {}
        # A Unix socket is shared: there the others take all clients anyway.
        covers = not isinstance(options["listen"], UnixAddress)
        self._all = Supervisor(options["processes"], self._spawn, self._on_said, self._on_died, covers=covers)
        self._desk = CrewDesk(self._all)

    # For `start_admin`.

    async def start_admin(self, host: str, port: int, token: str) -> int:
        """Listen for who has `token`; returns the port."""
        return await self._others.start_admin(self._desk, host, port, token)

    async def start_metrics(self, host: str, port: int) -> int:
        """Serve metrics to anybody; returns the port."""
        return await self._others.start_metrics(self._desk, host, port)

    async def close_others(self) -> None:
        """Close both."""
        await self._others.close()

    async def serve(self) -> int:
        """From the start of the processes to their end."""
        options, log = self._options, self._log
        origin = split_origin(self._settings.origin)
        await start_admin(self, options["admin"], self._token, options["metrics"], log)
        listening, self._socks = sockets_for(options, origin, self._all.count)
        try:
            await refuse_itself(origin, listening.host, listening.port, self._socks[0])
            await self._all.start()
        except BaseException:
            listening.remove_file()
            await self._all.aclose()
            raise
        wishes = listen_to_signals()
        reloads: set[asyncio.Task[None]] = set()
        asyncio.get_running_loop().add_signal_handler(
            signal.SIGHUP, lambda: reloads.add(asyncio.ensure_future(self._reload()))
        )
        self._say_started(listening)
        if not await has_successor(wishes, self, self._socks, options, self._token, log):
            listening.remove_file()
        await self._drain(options["drain_timeout"])
        return 0

    def _say_started(self, listening: Listening) -> None:
        url = _url(self._socks[0], listening, tls=self._options["cert"] is not None)
        origin, count = self._settings.origin, self._all.count
        text = f"{url} answers for {origin}, in {count} processes"
        self._log.say("started", text, url=url, origin=origin, processes=count)
        warn_of_policy(self._settings.policy, self._log)
        tell_ready()

    async def _spawn(self, number: int) -> tuple[asyncio.subprocess.Process, OrderLine]:
        ours, theirs = socket.socketpair()
        with theirs:
            descriptors = (theirs.fileno(), *(sock.fileno() for sock in self._socks))
            environment = {name: value for name, value in os.environ.items() if name not in _NOT_HANDED_ON}
            environment[WORKER] = ",".join(map(str, descriptors))
            try:
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    *sys.orig_argv[1:],
                    env=environment,
                    pass_fds=tuple(dict.fromkeys(descriptors)),
                    stdin=asyncio.subprocess.DEVNULL,
                    # Ctrl-C goes to the parent alone, which tells them.
                    start_new_session=True,
                )
            except OSError:
                ours.close()
                raise
        line = await OrderLine.open(ours)
        line.say(
            {
                "here": number,
                "count": self._all.count,
                "folder": str(self._folder),
                "secret": self._secret.hex(),
                "name": self._name.decode(),
                "policy": self._policy,
            }
        )
        return process, line

    def _on_said(self, number: int, said: list[Any]) -> None:
        """What all of them say is said once, as of an app that is down."""
        event, text, level, fields = said
        now = asyncio.get_running_loop().time()
        self._said = {each: when for each, when in self._said.items() if now - when < _SAME_SECONDS}
        if text not in self._said:
            self._said[text] = now
            self._log.say(event, text, level=level, **fields)

    def _on_died(self, number: int, how: str) -> None:
        text = f"process {number + 1} has ended ({how}), and is started again; its URLs are passed to the app meanwhile"
        self._log.say("process_died", text, level="error", process=number + 1, how=how)

    async def _reload(self) -> None:
        """SIGHUP. What cannot be read is found here first, and then nobody takes it."""
        log, options = self._log, self._options
        try:
            text = _policy_text(options["policy"])
            policy = Policy() if text is None else policy_in(text, options["policy"])
            read_tls(options["cert"], options["key"])
        except PenstockError as error:
            log.say("not_reloaded", f"not reloaded: {error}", level="error", message=str(error))
            return
        self._policy = text
        answers = await self._all.ask_all("reload", policy=text)
        failed = next((each["failed"] for each in answers if each is not None and each["failed"]), "")
        if failed:
            log.say("not_reloaded", f"not reloaded: {failed}", level="error", message=failed)
        else:
            log.say("reloaded", "reloaded")
            warn_of_policy(policy, log)

    async def _drain(self, timeout: float) -> None:
        """Finish what is under way; a second signal ends that at once."""
        busy = await self._all.busy()
        for sock in self._socks:
            sock.close()
        text = f"finishing what is under way ({busy} answers), for at most {timeout:g} s"
        self._log.say("draining", text, answers=busy, timeout_s=timeout)
        draining = asyncio.ensure_future(self._all.drain(timeout))
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, draining.cancel)
        try:
            await draining
        except asyncio.CancelledError:
            self._log.say("interrupted", "stopped without waiting", level="warning")
            await self._all.aclose()
        await self._others.close()


_SAME_SECONDS = 5.0


def _policy_text(path: Path | None) -> str | None:
    return None if path is None else read_text(path)


def _url(sock: socket.socket, listening: Listening, *, tls: bool) -> str:
    name = sock.getsockname()
    if isinstance(name, str):
        return f"unix:{name}"
    return f"{'https' if tls else 'http'}://{shown_address(listening.host, name[1])}"
