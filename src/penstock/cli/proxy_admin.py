"""The admin address on the command line: its token, its start, and the commands that call it."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

import click
import orjson

from ..errors import BadBody, CallError, UsageError
from ..inbound.proxy.admin import CHALLENGE, checked_token
from ..messages import Request, Response
from ..wire import Client
from ..wire.url import split_url
from .proxy_log import ProxyLog

F = TypeVar("F", bound=Callable[..., Any])

TOKEN_VARIABLE = "PENSTOCK_ADMIN_TOKEN"  # noqa: S105  # the name of it
_TIMEOUT = 10.0
_LONGEST_TOKEN_FILE = 4096


def client_options(function: F) -> F:
    """--admin and --admin-token-file of a command that calls a running proxy."""
    function = click.option(
        "--admin-token-file",
        type=click.Path(path_type=Path),
        default=None,
        help=f"Holds the token of --admin. [default: {TOKEN_VARIABLE} of the environment]",
    )(function)
    return click.option(
        "--admin", metavar="URL", default=None, help="The proxy's admin address: http://127.0.0.1:8081."
    )(function)


def read_token(file: Path | None) -> str:
    """The token, from `file` or the environment; never from the command line, which others on the machine can read.

    Raises UsageError where there is none, or one that is too short or cannot be sent.
    """
    if file is not None:
        try:
            with file.open("rb") as opened:
                token = opened.read(_LONGEST_TOKEN_FILE).decode("latin-1").strip()
        except OSError as error:
            raise UsageError(f"--admin-token-file {file} cannot be read: {error.strerror}") from None
    else:
        token = os.environ.get(TOKEN_VARIABLE, "").strip()
        if not token:
            raise UsageError(f"--admin needs a token: give --admin-token-file, or set {TOKEN_VARIABLE}")
    checked_token(token)
    return token


def proxy_token(admin: tuple[str, int] | None, file: Path | None) -> str:
    """The token that the proxy is to ask for; "" without --admin. Raises UsageError as `read_token`."""
    if admin is not None:
        return read_token(file)
    if file is not None:
        raise UsageError("--admin-token-file needs --admin")
    return ""


class Administered(Protocol):
    """What has an admin address and one for metrics: a Proxy, or several processes of one."""

    async def start_admin(self, host: str, port: int, token: str) -> int:
        """Listen for who has `token`; returns the port."""
        ...

    async def start_metrics(self, host: str, port: int) -> int:
        """Serve metrics to anybody; returns the port."""
        ...

    async def close_others(self) -> None:
        """Close both."""
        ...


async def start_admin(
    proxy: Administered, admin: tuple[str, int] | None, token: str, metrics: tuple[str, int] | None, log: ProxyLog
) -> None:
    """Listen on the addresses that were asked for and say so. Raises UsageError."""
    if admin is not None:
        url = f"http://{shown_address(admin[0], await proxy.start_admin(*admin, token))}"
        log.say("admin", f"admin at {url}", url=url)
        if not _is_loopback(admin[0]):
            log.caution("the admin address can be reached from elsewhere, and its token travels unencrypted")
    if metrics is not None:
        url = f"http://{shown_address(metrics[0], await proxy.start_metrics(*metrics))}/metrics"
        log.say("metrics", f"metrics at {url}", url=url)


def shown_address(host: str, port: int) -> str:
    """As it stands in a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class AdminClient:
    """Calls the admin address `url`. An async context manager.

    Raises UsageError for what is no such address, and where it cannot be reached, refuses the token or the request, or
    does not answer as one: in each case with a line that says what to do.
    """

    def __init__(self, url: str, token: str) -> None:
        origin, target = split_url(url if "://" in url else f"http://{url}")
        if target != "/":
            raise UsageError(f"--admin {url}: an admin address has no path; write {origin}")
        self.url = str(origin)
        self._fields = {"Authorization": f"Bearer {token}"}
        self._client = Client(connect_timeout=_TIMEOUT)
        self._recognised = False

    async def get(self, path: str, parameters: list[tuple[str, str]]) -> dict[str, Any]:
        """The answer to a GET."""
        query = f"?{urllib.parse.urlencode(parameters)}" if parameters else ""
        return self._read(await self._call(Request("GET", f"{self.url}{path}{query}", self._fields)))

    async def post(self, path: str, data: dict[str, Any]) -> dict[str, Any]:
        """The answer to a POST of `data` as JSON."""
        fields = {**self._fields, "Content-Type": "application/json"}
        return self._read(await self._call(Request("POST", f"{self.url}{path}", fields, orjson.dumps(data))))

    async def _call(self, request: Request) -> Response:
        try:
            async with asyncio.timeout(_TIMEOUT):
                if not self._recognised:
                    await self._recognise()
                return await self._client(request)
        except TimeoutError:
            raise UsageError(f"the admin address {self.url} does not answer within {_TIMEOUT:g} s") from None
        except CallError as error:
            raise UsageError(f"the admin address {self.url} cannot be reached: {error}") from None

    async def _recognise(self) -> None:
        """Ask without the token first: an address mixed up with that of the clients would hand it on to the app."""
        answer = await self._client(Request("GET", f"{self.url}/stats"))
        if answer.status != 401 or answer.headers.get("www-authenticate") != CHALLENGE.decode():
            raise UsageError(f"{self.url} is no admin address of penstock; it is what the proxy's --admin says")
        self._recognised = True

    def _read(self, response: Response) -> dict[str, Any]:
        if response.status == 401:
            raise UsageError(f"{self.url} refuses the token: is it the one that the proxy was started with?")
        try:
            answer = response.json()
        except BadBody:
            answer = None
        if not isinstance(answer, dict) or (response.status != 200 and "error" not in answer):
            raise UsageError(f"{self.url} is no admin address of penstock (its answer is {response.status})")
        if response.status != 200:
            raise UsageError(f"{self.url}: {answer['error']}")
        return answer

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()
