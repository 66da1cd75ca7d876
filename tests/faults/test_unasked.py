"""An origin that sends an answer too many, at several moments: whoever may have been misled is told so."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from penstock.inbound.proxy.proxy import Proxy, ProxySettings

from .processes import ENVIRONMENT, PENSTOCK, records, write_items

pytestmark = pytest.mark.real

ITEMS = 600
MOMENTS = {
    "same packet": (0.0, 1),
    "1 ms later": (0.001, 1),
    "5 ms later": (0.005, 1),
    "same packet, every 200th": (0.0, 200),
    "1 ms later, every 200th": (0.001, 200),
    "5 ms later, every 200th": (0.005, 200),
}


def _answer(target: bytes, status: bytes = b"200 OK") -> bytes:
    body = json.dumps({"for": target.decode()}).encode()
    return b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)


class _Origin:
    """Answers with the target it was asked for; after each `every`th one more goes out, `delay` seconds later."""

    def __init__(self, delay: float, every: int) -> None:
        self._delay = delay
        self._every = every
        self._answered = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                target = head.split(b" ", 2)[1]
                self._answered += 1
                more = _answer(b"nobody") if self._answered % self._every == 0 else b""
                if self._delay and more:
                    writer.write(_answer(target))
                    loop.call_later(self._delay, _write, writer, more)
                else:
                    writer.write(_answer(target) + more)
        writer.close()


def _write(writer: asyncio.StreamWriter, data: bytes) -> None:
    if not writer.is_closing():
        writer.write(data)


@contextlib.asynccontextmanager
async def _origin(delay: float, every: int) -> AsyncIterator[str]:
    server = await asyncio.start_server(_Origin(delay, every).serve, "127.0.0.1", 0, backlog=1000)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def _penstock(*arguments: object) -> tuple[int, dict[str, Any], str]:
    """Exit code, summary, and what was said on standard error."""
    command = [*PENSTOCK, *map(str, arguments), "--json"]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe, env=ENVIRONMENT)
    async with asyncio.timeout(60):
        output, errors = await process.communicate()
    assert process.returncode is not None
    return process.returncode, json.loads(output), errors.decode()


@pytest.mark.parametrize(("moment", "processes"), [*((each, 1) for each in MOMENTS), ("5 ms later, every 200th", 2)])
def test_a_run_that_may_have_been_misled_says_so(tmp_path: Path, moment: str, processes: int) -> None:
    """299 of 300 outcomes were another item's, and the exit code was 0."""
    out = tmp_path / "out.jsonl"
    source = write_items(tmp_path / "in.jsonl", ITEMS)

    async def main() -> None:
        async with _origin(*MOMENTS[moment]) as origin:
            send = ["send", source, "--url", origin + "/{n}", "--method", "GET", "--in-flight", 4, "--out", out]
            send += ["--processes", processes] if processes > 1 else []
            code, summary, _ = await _penstock(*send)
            assert (code, summary["complete"], summary["ok"]) == (1, True, ITEMS)
            assert list(summary["unasked_answers"]) == [origin]
            assert summary["unasked_answers"][origin] >= 1
            if moment == "same packet":
                wrong = [each for each in records(out) if each["value"] != {"for": f"/{each['key']}"}]
                assert not wrong
            # The next session sends nothing, and does not forget it.
            code, again, _ = await _penstock(*send)
            assert (code, again["unasked_answers"]) == (1, summary["unasked_answers"])

    asyncio.run(main())


@pytest.mark.parametrize("moment", MOMENTS)
def test_with_a_connection_for_each_call_nobody_is_misled(tmp_path: Path, moment: str) -> None:
    """It is what the summary gives as a remedy."""
    out = tmp_path / "out.jsonl"
    source = write_items(tmp_path / "in.jsonl", ITEMS)

    async def main() -> None:
        async with _origin(*MOMENTS[moment]) as origin:
            send = ["send", source, "--url", origin + "/{n}", "--method", "GET", "--in-flight", 4, "--out", out]
            code, summary, errors = await _penstock(*send, "--no-keep-alive")
            assert (code, summary["ok"], summary["unasked_answers"]) == (0, ITEMS, {}), errors

    asyncio.run(main())
    assert all(each["value"] == {"for": f"/{each['key']}"} for each in records(out))


@pytest.mark.parametrize("moment", MOMENTS)
def test_the_proxy_counts_them(moment: str) -> None:
    """Between two requests there is a moment, as there is with clients; then nobody gets another's answer for long."""
    delay, every = MOMENTS[moment]
    wrong: list[int] = []

    async def main() -> None:
        async with asyncio.timeout(60), _origin(delay, every) as origin:
            proxy = Proxy(ProxySettings(origin))
            await proxy.start("127.0.0.1", 0)
            reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
            for number in range(ITEMS):
                writer.write(b"GET /%d HTTP/1.1\r\nHost: shop\r\n\r\n" % number)
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
                if json.loads(await reader.readexactly(length)) != {"for": f"/{number}"}:
                    wrong.append(number)
                if number % 20 == 19:
                    await asyncio.sleep(0.02)
            unasked = proxy.watched().origin_unasked
            writer.close()
            await proxy.aclose(1.0)
        assert unasked >= 1
        assert not wrong or moment != "same packet"
        # Once it is seen, no connection is used twice: what came before are the 20 up to the first pause.
        first = every // 20 * 20 if every > 1 else 0
        assert all(first <= number < first + 20 for number in wrong), wrong

    asyncio.run(main())
