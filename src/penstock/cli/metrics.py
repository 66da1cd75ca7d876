"""`--metrics ADDRESS`: a Prometheus endpoint for as long as the command runs."""

from __future__ import annotations

from typing import Any

from ..engine.engine import Engine
from ..limits.limiter import RateLimiter
from ..observe.exposition import Family
from ..observe.prometheus import MetricsServer, serve
from ..runs.metrics import read_metrics


class MetricsWatcher:
    """A Watcher that is asked by Prometheus and not by a timer; a context manager.

    It listens from the start, so that an address that cannot be had is said before anything is sent, and tells of
    the run as soon as there is one.
    """

    def __init__(self, address: str, command: str) -> None:
        self.interval = 3600.0
        self._engine: Engine[Any, Any] | None = None
        self._limiter: RateLimiter | None = None
        self._server: MetricsServer = serve(address, self._read, command=command)

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._server.port

    def under(self, limiter: RateLimiter) -> MetricsWatcher:
        """The same, telling of `limiter` too."""
        self._limiter = limiter
        return self

    def show(self, engine: Engine[Any, Any], elapsed: float) -> None:
        """From now on it is `engine` that is told of."""
        del elapsed
        self._engine = engine

    def close(self) -> None:
        """Answer no more."""
        self._server.close()

    def __enter__(self) -> MetricsWatcher:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _read(self) -> list[Family] | None:
        return None if self._engine is None else read_metrics(self._engine, self._limiter)


def metrics_watcher(address: str, command: str) -> MetricsWatcher:
    """Listen at `address` for the run of `command`. Raises UsageError for an address that cannot be had."""
    return MetricsWatcher(address, command)
