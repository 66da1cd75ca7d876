"""The client of a run, made of its options."""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..call import AnyClient
from ..errors import CallError, UsageError
from ..layers.deadline import DeadlineHeader
from ..limits.limiter import RateLimiter
from ..messages import Request, Response
from ..wire import Client
from .flow import Flow
from .origin_faults import OriginFaults

if TYPE_CHECKING:
    from ..clients.aiohttp import AiohttpClient


class RedirectPermits:
    """A permit for each redirect that is followed: it is a send like any other. None before the session has limits."""

    def __init__(self) -> None:
        self.limiter: RateLimiter | None = None

    async def __call__(self) -> None:
        """Wait for it."""
        if self.limiter is not None:
            await self.limiter.acquire()


@asynccontextmanager
async def make_client(
    flow: Flow, before_redirect: RedirectPermits | None = None, faults: OriginFaults | None = None
) -> AsyncGenerator[AnyClient[Request, Response], None]:
    """The wire's client, or the adapter for what it leaves out (proxies; it tells no `faults`), open for the block."""
    async with _client(flow, before_redirect, faults) as client:
        yield client if flow.deadline_header is None else DeadlineHeader(client, flow.deadline_header)


def _client(flow: Flow, before_redirect: RedirectPermits | None, faults: OriginFaults | None) -> AiohttpClient | Client:
    if flow.proxy is not None:
        from ..clients.aiohttp import AiohttpClient

        return AiohttpClient(
            proxy=flow.proxy,
            connect_timeout=flow.connect_timeout,
            max_response_bytes=flow.max_response_bytes,
            follow_redirects=flow.follow_redirects,
            before_redirect=before_redirect,
            tls=_tls(flow.ca_file),
            keep_alive=flow.keep_alive,
        )
    return Client(
        # A repeat would be a send that no limit has permitted; the engine tries again, under the limit.
        repeat_stale=False,
        on_unasked=faults.unasked if faults is not None else None,
        on_died=faults.died if faults is not None else None,
        connect_timeout=flow.connect_timeout,
        max_response_bytes=flow.max_response_bytes,
        follow_redirects=flow.follow_redirects,
        before_redirect=before_redirect,
        tls=_tls(flow.ca_file),
        keep_alive=flow.keep_alive,
    )


def _tls(ca_file: Path | None) -> ssl.SSLContext | None:
    if ca_file is None:
        return None
    try:
        return ssl.create_default_context(cafile=str(ca_file))
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"--ca-file {ca_file}: {error.strerror if isinstance(error, OSError) else error}") from error


async def knock(client: AnyClient[Request, Response], request: Request) -> None:
    """See that the host can be reached before a long run begins. Sends nothing. Raises UsageError."""
    try:
        prepared = await client.prepare(request)
    except CallError as error:
        hint = " (--ca-file names an authority of your own)" if "certificate refused" in str(error) else ""
        raise UsageError(f"cannot reach the host: {error}{hint} ({error.kind}); nothing was sent") from error
    prepared.release()
