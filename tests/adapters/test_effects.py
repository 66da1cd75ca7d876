"""Who asked is told before each call, in the thread and the context of the caller; by every way out."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import aiohttp
import httpx
import httpx2
import pytest
import requests

import penstock
from penstock.adapters.aiohttp import LimitMiddleware
from penstock.adapters.effects import before_effect, tell_before_effects, tell_no_more
from penstock.adapters.httpx import AsyncLimit, SyncLimit
from penstock.adapters.httpx2 import AsyncLimit as AsyncLimit2
from penstock.adapters.httpx2 import SyncLimit as SyncLimit2
from penstock.adapters.requests import LimitAdapter
from penstock.testing import Reply

from .served import Replying, in_a_thread

pytestmark = pytest.mark.real
user: ContextVar[str] = ContextVar("user")


@pytest.fixture
def url() -> Iterator[str]:
    with in_a_thread(Replying([Reply(200, body=b"{}")]).make) as server:
        yield server.url


@pytest.fixture
def told() -> Iterator[list[tuple[str, int]]]:
    seen: list[tuple[str, int]] = []

    def hook() -> None:
        seen.append((user.get("nobody"), threading.get_ident()))

    tell_before_effects(hook)
    yield seen
    tell_no_more(hook)


def http(url: str) -> None:
    with penstock.Http() as client:
        client.get(url)


def http_gather(url: str) -> None:
    with penstock.Http() as client:
        client.gather([url, url])


def by_httpx(url: str) -> None:
    with httpx.Client(transport=SyncLimit()) as client:
        client.get(url)


def by_httpx2(url: str) -> None:
    with httpx2.Client(transport=SyncLimit2()) as client:
        client.get(url)


def by_requests(url: str) -> None:
    with requests.Session() as session:
        session.mount("http://", LimitAdapter())
        session.get(url, timeout=10)


async def aio(url: str) -> None:
    async with penstock.Http() as client:
        await client.aio.get(url)


async def aio_gather(url: str) -> None:
    async with penstock.Http() as client:
        await client.aio.gather([url, url])


async def by_async_httpx(url: str) -> None:
    async with httpx.AsyncClient(transport=AsyncLimit()) as client:
        await client.get(url)


async def by_async_httpx2(url: str) -> None:
    async with httpx2.AsyncClient(transport=AsyncLimit2()) as client:
        await client.get(url)


async def by_aiohttp(url: str) -> None:
    async with aiohttp.ClientSession(middlewares=[LimitMiddleware()]) as session, session.get(url) as answer:
        await answer.read()


SYNC: list[Callable[[str], None]] = [http, http_gather, by_httpx, by_httpx2, by_requests]
ASYNC: list[Callable[[str], Any]] = [aio, aio_gather, by_async_httpx, by_async_httpx2, by_aiohttp]


@pytest.mark.parametrize("way", SYNC)
def test_each_sync_way_out_tells(way: Callable[[str], None], url: str, told: list[tuple[str, int]]) -> None:
    def request() -> None:
        user.set("ann")
        way(url)

    contextvars.copy_context().run(request)
    assert told == [("ann", threading.get_ident())]


@pytest.mark.parametrize("way", ASYNC)
def test_each_async_way_out_tells(way: Callable[[str], Any], url: str, told: list[tuple[str, int]]) -> None:
    async def request() -> None:
        user.set("ann")
        await way(url)

    asyncio.run(request())
    assert told == [("ann", threading.get_ident())]


def test_who_asks_twice_is_told_once_and_who_asks_no_more_not_at_all() -> None:
    seen: list[int] = []

    def hook() -> None:
        seen.append(1)

    tell_before_effects(hook)
    tell_before_effects(hook)
    before_effect()
    tell_no_more(hook)
    tell_no_more(hook)
    before_effect()
    assert seen == [1]
