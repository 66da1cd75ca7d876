"""Round an app, pure ASGI: makes the counts of arms whole by final status, last byte, and clients that leave."""

from __future__ import annotations

import contextlib

from ..errors import ArmsBusy
from .busy import answer_of
from .plain_answer import send_answer
from .scrape import Scrape
from .under_way import UNDER_WAY, App, AsgiUnderWay, Receive, Scope, Send


class MoveMiddleware:
    """Round an ASGI app whose routes have `penstock.arms`: `app.add_middleware(penstock.MoveMiddleware)`.

    Arms are served without it, too. With it, a request counts from when it came until the last byte of its answer has
    been sent or its client has gone, and by its final status: 500 and above, or an exception, is a failure. Who waits
    for a place under `max_in_flight` and leaves gives the place back, and where there is none the answer is 503 with
    `Retry-After`. Answers go through as they come; lifespan and WebSocket are not touched.

    `metrics` is a path that it answers itself, for Prometheus, with the sum of all workers; whoever can reach the app
    can read them there. Raises UsageError where prometheus_client is missing then.
    """

    def __init__(self, app: App, *, metrics: str | None = None) -> None:
        self.app = app
        self._scrape = None if metrics is None else Scrape(metrics)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if self._scrape is not None and self._scrape.is_at(scope["path"]):
            await send_answer(send, await self._scrape.answer_aside(scope["method"]))
            return
        request = AsgiUnderWay(scope, receive, send)
        token = UNDER_WAY.set(request)
        try:
            await self.app(scope, request.receive, request.send)
        except ArmsBusy as busy:
            if request.status:
                request.end(failed=True)
                raise
            await send_answer(request.send, answer_of(busy))
        except Exception:
            request.end(failed=True)
            raise
        finally:
            request.end(failed=False)
            if request.check is not None:
                request.check.answer()
            # A request of a loop that is closed is thrown away wherever its garbage is collected.
            with contextlib.suppress(ValueError):
                UNDER_WAY.reset(token)
