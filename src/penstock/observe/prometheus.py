"""Prometheus: serve what a run does while it goes on.

Nothing is counted here and nothing is done per call: the values are read when somebody asks for them, in a thread
of the server's. What it knows of a run are the families that a function hands over.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any

from .._version import __version__
from ..errors import UsageError
from .exposition import Collector, Family, check_available

_ADDRESS = re.compile(r"(?:(\[[0-9A-Fa-f:.%]+\]|[^:\[\]\s]+):)?(\d{1,5})")


class MetricsServer:
    """An endpoint that answers until it is closed; a context manager."""

    def __init__(self, server: Any, thread: Any) -> None:
        self._server = server
        self._thread = thread
        self.port: int = server.server_port
        """The port it listens on, also where 0 was asked for."""

    def close(self) -> None:
        """Answer no more, and let the port go."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> MetricsServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def serve(address: str, read: Callable[[], Iterable[Family] | None], *, command: str = "run") -> MetricsServer:
    """Serve what `read` says at `http://ADDRESS/metrics` until the server is closed.

    `address` is `127.0.0.1:9464`, `[::1]:9464`, or a port alone, which is one of this machine only. `read` is called
    in a thread for every scrape, must not block, and may say None as long as there is nothing to tell. `command` is a
    label of `penstock_run_info`. Raises UsageError for what is no address, for one that cannot be had, and where
    prometheus_client is missing.
    """
    host, port = parse_address(address)
    check_available()
    from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server

    registry = CollectorRegistry(auto_describe=False)
    ProcessCollector(registry=registry)
    registry.register(RunCollector(read, command))
    try:
        server, thread = start_http_server(port, host, registry)
    except (OSError, OverflowError) as error:
        what = getattr(error, "strerror", None) or error
        raise UsageError(f"metrics cannot be served at {address}: {what}; give another address or port") from error
    return MetricsServer(server, thread)


def parse_address(address: str) -> tuple[str, int]:
    """The host and the port of `HOST:PORT`, `[IPv6]:PORT` or `PORT`. Raises UsageError."""
    match = _ADDRESS.fullmatch(address.strip())
    if match is None or int(match[2]) > 65535:
        raise UsageError(f"{address!r} is not an address to serve metrics at; write 127.0.0.1:9464")
    return (match[1] or "127.0.0.1").strip("[]"), int(match[2])


class RunCollector:
    """What runs, and the families that `read` hands over; a collector of prometheus_client."""

    def __init__(self, read: Callable[[], Iterable[Family] | None], command: str) -> None:
        self._read = read
        self._command = command

    def collect(self) -> Iterator[Any]:
        """All families, as of now."""
        from prometheus_client.core import InfoMetricFamily

        info = {"command": self._command, "version": __version__}
        yield InfoMetricFamily("penstock_run", "What runs.", value=info)
        yield from Collector(self._read() or ()).collect()
