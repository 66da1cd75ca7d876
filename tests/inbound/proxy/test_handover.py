"""A proxy that is restarted while clients come and go: none of them notices."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ANSWER = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 2\r\n\r\nok"


async def origin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(ANSWER)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def ask(port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    answer = await reader.read()
    writer.close()
    return answer


async def asking(port: int, until: asyncio.Event) -> int:
    count = 0
    while not until.is_set():
        assert (await ask(port)).endswith(b"ok")
        count += 1
    return count


def _catches(pid: int, number: int) -> bool:
    caught = Path(f"/proc/{pid}/status").read_text().partition("SigCgt:")[2].split()[0]
    return bool(int(caught, 16) >> (number - 1) & 1)


@pytest.mark.real
@pytest.mark.slow
def test_a_restart_refuses_nobody(tmp_path: Path) -> None:
    log = tmp_path / "log"

    async def main() -> None:
        server = await asyncio.start_server(origin, "127.0.0.1", 0)
        where = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        command = [sys.executable, "-m", "penstock", "proxy", "--origin", where, "--listen", "127.0.0.1:0"]
        token = {**os.environ, "PENSTOCK_ADMIN_TOKEN": "a-token-for-this-test"}
        # Not a pipe: the successor holds it too, and then the end of the old one would not be seen.
        with log.open("wb") as file:
            old = await asyncio.create_subprocess_exec(*command, "--admin", "127.0.0.1:0", stderr=file, env=token)
        while " answers for " not in log.read_text():
            await asyncio.sleep(0.001)
        port = int(log.read_text().split(" answers for ")[0].rpartition(":")[2])
        stop = asyncio.Event()
        clients = [asyncio.create_task(asking(port, stop)) for _ in range(4)]
        # It is said by now that it answers, so it listens to signals as well: SIGUSR2 would end it otherwise.
        assert _catches(old.pid, signal.SIGUSR2)
        old.send_signal(signal.SIGUSR2)
        assert await old.wait() == 0
        for _ in range(20):
            assert (await ask(port)).endswith(b"ok")
        stop.set()
        assert sum(await asyncio.gather(*clients)) > 4
        await stop_successor(port)
        server.close()

    asyncio.run(asyncio.wait_for(main(), 60))


async def stop_successor(port: int) -> None:
    """It is nobody's child any more, so it is found by what it listens at."""
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        try:
            with open(f"/proc/{name}/cmdline", "rb") as file:
                line = file.read()
            with open(f"/proc/{name}/environ", "rb") as file:
                environment = file.read()
        except OSError:
            continue
        if (
            b"penstock\0proxy" in line
            and b"PENSTOCK_LISTEN_FD" in environment
            and b"a-token-for-this-test" in environment
        ):
            os.kill(int(name), signal.SIGTERM)
    for _ in range(200):
        try:
            await ask(port)
        except OSError:
            return
        await asyncio.sleep(0.05)
    raise AssertionError("the successor still answers")


IN_THAT_MOMENT = """
import os, signal, sys
from penstock.cli.main import run_command
from penstock.cli.proxy_log import ProxyLog

say = ProxyLog.say

def say_and_be_told(self, event, *rest, **fields):
    say(self, event, *rest, **fields)
    if event == "started":
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGTERM)

ProxyLog.say = say_and_be_told
sys.exit(run_command(["proxy", "--origin", "http://127.0.0.1:9", "--listen", "127.0.0.1:0"]))
"""


def test_who_hears_that_it_answers_is_heard() -> None:
    """Its signals, in the very moment: they would end it without a word."""
    ended = subprocess.run([sys.executable, "-c", IN_THAT_MOMENT], capture_output=True, timeout=60, check=False)
    assert ended.returncode == 0, ended
    assert b"finishing what is under way" in ended.stderr
