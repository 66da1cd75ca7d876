"""Calls through a proxy, which only the aiohttp client makes."""

from __future__ import annotations

import asyncio
import socket

import pytest

from penstock.clients.aiohttp import AiohttpClient
from penstock.errors import ConnectError
from penstock.messages import Request

from .scripted_server import OK, always, response, serving

pytestmark = pytest.mark.real


def test_a_plain_request_goes_to_the_proxy_in_absolute_form() -> None:
    async def test() -> None:
        async with serving(always(OK)) as proxy, AiohttpClient(proxy=proxy.url) as client:
            assert (await client(Request("GET", "http://origin.invalid/a?b"))).body == b"ok"
            assert proxy.requests[0].startswith(b"GET http://origin.invalid/a?b HTTP/1.1\r\n")

    asyncio.run(test())


def test_a_proxy_that_refuses_a_tunnel_is_a_connect_error() -> None:
    async def test() -> None:
        refusing = serving(always(response("403 Forbidden")))
        async with refusing as proxy, AiohttpClient(proxy=proxy.url) as client:
            with pytest.raises(ConnectError):
                await client(Request("GET", "https://origin.invalid/"))

    asyncio.run(test())


def test_a_proxy_that_is_not_there_is_a_connect_error() -> None:
    async def test() -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            proxy = f"http://127.0.0.1:{unused.getsockname()[1]}"
            async with AiohttpClient(proxy=proxy) as client:
                with pytest.raises(ConnectError):
                    await client(Request("GET", "http://origin.invalid/"))

    asyncio.run(test())
