"""An HTTP/1.1 API on loopback that is slow, limited and faulty on demand, and says exactly what it did.

    async with FaultServer(limiter=SlidingLog(100, 1.0), faults=FaultPlan(7, {"429": 0.01})) as server:
        ...  # send requests to server.url
    assert server.statistics().limit_violations == 0

In a process of its own: `python -m penstock.testing.fault_server --help`.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import sys
from types import TracebackType

from .arrivals import ArrivalsLog
from .fault_connection import FaultConnection, InspectingConnection
from .fault_service import Answer, Respond, ServerStatistics, Service
from .faults import FaultPlan
from .latency import Latency, constant
from .limiters import Limiter

FLUSH_INTERVAL = 0.2
"""Seconds after which an arrival is in the file at the latest."""


class FaultServer:
    """`async with FaultServer(...) as server`: listens at `server.url` until the end of the block.

    - `limiter` refuses what comes too early: 429 at once, Retry-After rounded up to whole seconds.
    - `faults` are injected into what the limiter admits.
    - `latency` in seconds passes before an answer or a fault, drawn with `seed`.
    - `answer` makes the JSON body of a 200 from the request's body; without one the body comes back as it
      was. ValueError from it is answered with 400.
    - `respond`, instead of `answer`, sees the whole request and makes the whole answer, where status, target
      or headers matter. It is slower.
    - `arrivals_log` is a file to append every arrival to; read it with `read_arrivals`.
    - `ssl_context` makes it speak HTTPS.

    Any method and target is served, but GET /health and GET /stats are the server's own. At the end open
    connections are reset. Raises OSError where the port is taken or the log cannot be written.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        limiter: Limiter | None = None,
        latency: Latency | None = None,
        faults: FaultPlan | None = None,
        answer: Answer | None = None,
        respond: Respond | None = None,
        arrivals_log: str | os.PathLike[str] | None = None,
        seed: int = 0,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        if answer is not None and respond is not None:
            raise ValueError("give answer or respond, not both")
        self._host = host
        self._wanted_port = port
        self._ssl = ssl_context
        self._log_path = arrivals_log
        self._log: ArrivalsLog | None = None
        self._server: asyncio.Server | None = None
        self._flush_timer: asyncio.TimerHandle | None = None
        self.port = 0
        self._service = Service(
            limiter=limiter,
            latency=latency or constant(0),
            faults=faults or FaultPlan(),
            answer=answer or _echo,
            respond=respond,
            seed=seed,
        )

    @property
    def url(self) -> str:
        """The server's address, without a slash at its end."""
        return f"{'https' if self._ssl else 'http'}://{self._host}:{self.port}"

    def statistics(self) -> ServerStatistics:
        """Return a copy of the counters; also after the server has ended."""
        return self._service.statistics()

    async def __aenter__(self) -> FaultServer:
        if self._server is not None:
            raise RuntimeError("the server is listening already")
        loop = asyncio.get_running_loop()
        connection = InspectingConnection if self._service.inspects else FaultConnection

        def connect() -> FaultConnection:
            return connection(self._service, loop)

        if self._log_path is not None:
            self._log = self._service.log = ArrivalsLog(self._log_path)
        try:
            self._server = await loop.create_server(connect, self._host, self._wanted_port, backlog=4096, ssl=self._ssl)
        except BaseException:
            self._close_log()
            raise
        self.port = self._server.sockets[0].getsockname()[1]
        self._flush()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is None:
            return
        server, self._server = self._server, None
        server.close()
        connections = self._service.connections
        for connection in list(connections):
            connection.abort()
        # A connection is lost in a later step of the loop; before that its socket would leak.
        while connections:  # noqa: ASYNC110 - it takes a step or two, always
            await asyncio.sleep(0)
        self._close_log()
        await server.wait_closed()

    def _flush(self) -> None:
        if self._log is not None:
            self._log.flush()
            self._flush_timer = asyncio.get_running_loop().call_later(FLUSH_INTERVAL, self._flush)

    def _close_log(self) -> None:
        if self._flush_timer is not None:
            self._flush_timer.cancel()
        if self._log is not None:
            self._log.close()
            self._log = self._service.log = None

    def __repr__(self) -> str:
        return f"<FaultServer {self.url} {self._service!r}>"


def _echo(body: bytes) -> bytes:
    return body


if __name__ == "__main__":
    from .fault_server_process import main

    sys.exit(main())
