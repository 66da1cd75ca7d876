"""How many functions of penstock a request goes through, by what becomes of it. Counts, not times: they repeat.

`--list stored-miss` shows which functions these are, to find those that are called for nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import penstock
from penstock import CacheMiddleware
from penstock.inbound.proxy.proxy import Proxy, ProxySettings

from .report import Report

GOALS = {"stored-miss": 170, "middleware-stored-miss": 120}
_HOME = Path(penstock.__file__).parent
# So many requests make the origin one whose connections are used at once after an answer.
_WARM = 20
_REPEATED = 9
_JOINED = 10
_ITEMS = 400
_BODY = b"x" * 1024
_BROWSER = (
    (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    (b"accept", b"*/*"),
    (b"accept-encoding", b"gzip, br"),
)

Function = tuple[str, str]
"""File, below the package, and qualified name."""
Ask = Callable[[int], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Counts:
    """Calls of each function, for one request."""

    calls: dict[Function, float]

    @property
    def total(self) -> float:
        """Functions called."""
        return sum(self.calls.values())

    @property
    def files(self) -> int:
        """Files entered."""
        return len({file for file, _ in self.calls})

    def less(self, other: Counts, shares: int) -> Counts:
        """What is here and not in `other`, divided by `shares`."""
        names = self.calls.keys() | other.calls.keys()
        rest = {name: (self.calls.get(name, 0.0) - other.calls.get(name, 0.0)) / shares for name in names}
        # What happens once a second is not this request's.
        return Counts({name: count for name, count in rest.items() if count > 0.05})


@contextlib.contextmanager
def counting(found: Counter[CodeType]) -> Iterator[None]:
    """Count into `found` what is called in this thread; a coroutine or generator counts each time it goes on."""

    def called(frame: FrameType, event: str, _argument: object) -> None:
        if event == "call":
            found[frame.f_code] += 1

    sys.setprofile(called)
    try:
        yield
    finally:
        sys.setprofile(None)


def of_penstock(found: Counter[CodeType]) -> Counts:
    """What of `found` is penstock, but for its servers for tests."""
    calls: Counter[Function] = Counter()
    for code, count in found.items():
        file = Path(code.co_filename)
        if file.is_relative_to(_HOME) and not file.is_relative_to(_HOME / "testing"):
            calls[str(file.relative_to(_HOME)), code.co_qualname] += count
    return Counts({**calls})


async def one_request(ask: Ask) -> Counts:
    """The median of several requests after some that do not count: timers make one of them dearer now and then."""
    several = []
    for number in range(_WARM + _REPEATED):
        found: Counter[CodeType] = Counter()
        with counting(found):
            await ask(number)
            # What is left for the next turns of the loop is part of it.
            for _ in range(3):
                await asyncio.sleep(0)
        if number >= _WARM:
            several.append(of_penstock(found))
    return sorted(several, key=lambda counts: counts.total)[_REPEATED // 2]


class _Origin:
    """Answers at once, or once `gate` is open: what begins with /private is for one client."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                await self.gate.wait()
                how = b"private" if head.startswith(b"GET /private") else b"max-age=600"
                fields = b"Content-Type: text/plain\r\nCache-Control: %b\r\nContent-Length: %d" % (how, len(_BODY))
                date = formatdate(usegmt=True).encode()
                writer.write(b"HTTP/1.1 200 OK\r\nDate: %b\r\n%b\r\n\r\n%b" % (date, fields, _BODY))
        writer.close()


class Client:
    """One connection to the proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self.writer = reader, writer

    def send(self, path: str, mark: int = 0) -> None:
        """Ask for `path`; another `mark` makes the same request in other bytes that no table knows."""
        fields = b"".join(b"%b: %b\r\n" % field for field in _BROWSER) + (b"X-Mark: %d\r\n" % mark if mark else b"")
        self.writer.write(b"GET %b HTTP/1.1\r\nHost: shop\r\n%b\r\n" % (path.encode(), fields))

    async def get_plain(self, path: str, expected: bytes) -> None:
        """Ask as a browser writes it, and look what became of it."""
        self.writer.write(b"GET %b HTTP/1.1\r\nHost: shop\r\nUser-Agent: x\r\nAccept: */*\r\n\r\n" % path.encode())
        head = await self.answer()
        assert expected in head, head

    async def answer(self) -> bytes:
        """The head of the answer, when all of it is there."""
        head = await self._reader.readuntil(b"\r\n\r\n")
        await self._reader.readexactly(len(_BODY))
        return head

    async def get(self, path: str, expected: bytes, mark: int = 0) -> None:
        """Ask, and look what became of it."""
        self.send(path, mark)
        head = await self.answer()
        assert expected in head, head


class ProxyBench:
    """The proxy between clients and an origin that are no penstock; a method for each way through it."""

    def __init__(self, proxy: Proxy, origin: _Origin, clients: list[Client]) -> None:
        self._proxy, self._origin, self._clients = proxy, origin, clients
        self.client = clients[0]

    async def known_hit(self) -> Counts:
        """The same bytes again and again."""
        client = self.client
        await client.get("/known", b"fwd=uri-miss")
        return await one_request(lambda _: client.get("/known", b"; hit"))

    async def engine_hit(self) -> Counts:
        """Another field each time, which could matter."""
        client = self.client
        await client.get("/marked", b"fwd=uri-miss")
        return await one_request(lambda number: client.get("/marked", b"; hit", number + 1))

    async def stored_miss(self) -> Counts:
        """Another URL each time."""
        return await one_request(lambda number: self.client.get(f"/miss/{number}", b"stored"))

    async def plain_miss(self) -> Counts:
        """The same, for requests that need not be parsed."""
        return await one_request(lambda number: self.client.get_plain(f"/plain/{number}", b"stored"))

    async def plain_pass(self) -> Counts:
        """One of these, for one client alone."""
        return await one_request(lambda number: self.client.get_plain(f"/private/plain/{number}", b"fwd=uri-miss"))

    async def private_miss(self) -> Counts:
        """What is found to be for one client."""
        return await one_request(lambda number: self.client.get(f"/private/{number}", b"fwd=uri-miss"))

    async def joined(self) -> Counts:
        """One more client of the same flight."""
        alone = await one_request(lambda number: self._wave(f"/alone/{number}", 1))
        together = await one_request(lambda number: self._wave(f"/together/{number}", 1 + _JOINED))
        return together.less(alone, _JOINED)

    async def _wave(self, path: str, size: int) -> None:
        self._origin.gate.clear()
        requests = self._proxy.engine.counters.requests
        for client in self._clients[:size]:
            client.send(path)
        while self._proxy.engine.counters.requests < requests + size:
            await asyncio.sleep(0)
        self._origin.gate.set()
        for client in self._clients[:size]:
            await client.answer()


@contextlib.asynccontextmanager
async def proxy_bench() -> AsyncIterator[ProxyBench]:
    """A ProxyBench on loopback."""
    origin = _Origin()
    server = await asyncio.start_server(origin.serve, "127.0.0.1", 0)
    proxy = Proxy(ProxySettings(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", plain_path=True))
    await proxy.start("127.0.0.1", 0)
    clients = [Client(*await asyncio.open_connection("127.0.0.1", proxy.port)) for _ in range(1 + _JOINED)]
    try:
        yield ProxyBench(proxy, origin, clients)
    finally:
        for client in clients:
            client.writer.transport.abort()
        await proxy.aclose(1.0)
        server.close()


async def _app(_scope: Any, _receive: Any, send: Any) -> None:
    """Answers at once, for all."""
    fields = [(b"content-type", b"text/plain"), (b"cache-control", b"max-age=600"), (b"content-length", b"1024")]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": _BODY})


class MiddlewareBench:
    """The middleware round an app, called as a server would; a method for each way through it."""

    def __init__(self) -> None:
        self._cached = CacheMiddleware(_app)

    async def get(self, path: str, expected: bytes, *fields: tuple[bytes, bytes]) -> None:
        """Ask, and look what became of it."""
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [(b"host", b"shop"), *_BROWSER, *fields],
            "client": ("192.0.2.1", 50000),
            "server": ("127.0.0.1", 80),
        }
        messages: list[Any] = []

        async def send(message: Any) -> None:
            messages.append(message)

        await self._cached(scope, asyncio.get_running_loop().create_future, send)
        assert expected in dict(messages[0]["headers"])[b"cache-status"], messages[0]

    async def known_hit(self) -> Counts:
        """The same request again and again."""
        await self.get("/known", b"fwd=uri-miss")
        return await one_request(lambda _: self.get("/known", b"; hit"))

    async def new_field(self) -> Counts:
        """A field that nobody sent before each time."""
        await self.get("/new", b"fwd=uri-miss")
        return await one_request(lambda number: self.get("/new", b"; hit", (b"x-new-%d" % number, b"1")))

    async def new_condition(self) -> Counts:
        """An entity tag that nobody sent before each time."""
        await self.get("/asked", b"fwd=uri-miss")
        return await one_request(lambda number: self.get("/asked", b"; hit", (b"if-none-match", b'"%d"' % number)))

    async def first_hit(self) -> Counts:
        """The second request for each of many URLs."""
        for number in range(_WARM + _REPEATED):
            await self.get(f"/first/{number}", b"fwd=uri-miss")
        return await one_request(lambda number: self.get(f"/first/{number}", b"; hit"))

    async def stored_miss(self) -> Counts:
        """Another URL each time."""
        return await one_request(lambda number: self.get(f"/miss/{number}", b"stored"))


async def sent_item() -> Counts:
    """One item more of `send`, with a server that answers at once."""
    from penstock.testing import FaultServer

    with tempfile.TemporaryDirectory() as folder:
        async with FaultServer() as server:
            await _send(Path(folder), "warm", server.url, _ITEMS)
            once = await _send(Path(folder), "once", server.url, _ITEMS)
            twice = await _send(Path(folder), "twice", server.url, 2 * _ITEMS)
    return twice.less(once, _ITEMS)


async def _send(folder: Path, name: str, url: str, items: int) -> Counts:
    from penstock.outbound.request_template import RequestTemplate
    from penstock.outbound.send import SendJob, open_send
    from penstock.runs.flow import Flow

    source = folder / f"{name}.jsonl"
    source.write_text("".join(f'{{"id": {number}}}\n' for number in range(items)))
    template = RequestTemplate(f"{url}/items", body='{"id": "{id}"}')
    found: Counter[CodeType] = Counter()
    with counting(found), open_send(SendJob(source, folder / f"{name}.out.jsonl", template, Flow(in_flight=16))) as run:
        summary = await run.carry_out()
    assert summary["complete"], summary
    return of_penstock(found)


async def measure_all() -> dict[str, Counts]:
    """All ways, by name."""
    async with proxy_bench() as bench:
        counts = {
            "known-hit": await bench.known_hit(),
            "engine-hit": await bench.engine_hit(),
            "joined": await bench.joined(),
            "stored-miss": await bench.stored_miss(),
            "private-miss": await bench.private_miss(),
            "plain-miss": await bench.plain_miss(),
            "plain-pass": await bench.plain_pass(),
        }
    middleware = MiddlewareBench()
    counts["middleware-known-hit"] = await middleware.known_hit()
    counts["middleware-new-field"] = await middleware.new_field()
    counts["middleware-new-condition"] = await middleware.new_condition()
    counts["middleware-first-hit"] = await middleware.first_hit()
    counts["middleware-stored-miss"] = await middleware.stored_miss()
    counts["send-item"] = await sent_item()
    return counts


def main(arguments: list[str]) -> bool:
    """Count, and print; whether the goals for misses were reached."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks function_counts", description=__doc__)
    parser.add_argument("--list", metavar="WAY", help="print the functions of one way, such as stored-miss")
    options = parser.parse_args(arguments)
    counts = asyncio.run(measure_all())
    if options.list is not None:
        if options.list not in counts:
            parser.error(f"choose one of {', '.join(counts)}")
        for (file, name), calls in sorted(counts[options.list].calls.items(), key=lambda each: (-each[1], each[0])):
            print(f"{calls:6g}  {file}  {name}")
    report = Report("function_counts", "python -m benchmarks function_counts")
    rows = [(way, f"{each.total:.1f}", each.files) for way, each in counts.items()]
    report.table(
        f"functions of penstock that a request goes through; median of {_REPEATED}",
        ("way", "functions called", "files entered"),
        rows,
    )
    for way, goal in GOALS.items():
        report.goal(way, f"at most {goal}", f"{counts[way].total:g}", counts[way].total <= goal)
    return report.finish()
