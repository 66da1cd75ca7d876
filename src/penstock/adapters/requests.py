"""Limits for requests, in one line: `session.mount("https://", LimitAdapter("500/min"))`."""

from __future__ import annotations

import threading
from typing import Any, Literal

from ..errors import UsageError
from ..extras import how_to_install
from ..limits.given import Limits
from .effects import before_effect
from .gate import LimitGate

try:
    import requests
    from requests.adapters import HTTPAdapter
    from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
except ImportError as error:
    raise UsageError(f"this adapter needs requests: {how_to_install('requests')}") from error


_current = threading.local()


class _Told:
    """A connection that tells the turn of its thread when a request has been written."""

    def request(self, *args: Any, **options: Any) -> None:
        super().request(*args, **options)  # type: ignore[misc]
        turn = getattr(_current, "turn", None)
        if turn is not None:
            turn.sent()


class _Pool(HTTPConnectionPool):
    ConnectionCls = type("_Connection", (_Told, HTTPConnectionPool.ConnectionCls), {})


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = type("_TlsConnection", (_Told, HTTPSConnectionPool.ConnectionCls), {})


class LimitAdapter(HTTPAdapter):
    """An adapter that sends as the limits allow, for any number of threads; `options` are those of HTTPAdapter.

    `limit` is `"500/min"`, several, or None; `"500/min@api"` is shared with all who use the name. Limits that answers
    tell, and `Retry-After`, hold for all requests (`limit_headers="ignore"`: only the latter). A refused request is
    sent again where its body is bytes or text, at most `max_attempts` times within `total_timeout` seconds. Raises
    UsageError for arguments that make no sense.
    """

    def __init__(
        self,
        limit: Limits = None,
        *,
        max_attempts: int = 5,
        total_timeout: float = 60.0,
        limit_headers: Literal["tighten", "ignore"] = "tighten",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._gate = LimitGate(
            limit, max_attempts=max_attempts, total_timeout=total_timeout, limit_headers=limit_headers
        )

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        """Send `request` when the limits allow it, and again where it was refused and can be."""
        before_effect()
        turn = self._gate.turn(replayable=request.body is None or isinstance(request.body, (bytes, str)))
        while True:
            self._gate.enter(turn)
            _current.turn = turn
            try:
                response = super().send(request, *args, **options)
            except BaseException:
                turn.failed()
                raise
            finally:
                _current.turn = None
            if not turn.again(response.status_code, _as_bytes(response)):
                return response
            response.close()

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Pools whose connections say when they have sent."""
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}

    def close(self) -> None:
        """Close the connections."""
        super().close()
        self._gate.close()


def _as_bytes(response: requests.Response) -> list[tuple[bytes, bytes]]:
    return [
        (name.encode("latin-1", "replace"), value.encode("latin-1", "replace"))
        for name, value in response.headers.items()
    ]
