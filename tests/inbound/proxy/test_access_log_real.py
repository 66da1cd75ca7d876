"""The access log of a proxy on loopback: every kind of answer, the ready ones too, and the id that finds it."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from pathlib import Path
from typing import Any

import orjson
import pytest

from penstock.clock import current_clock
from penstock.inbound.proxy.access_log import AccessLog

from .real_tools import Asked, rig, run_real

pytestmark = pytest.mark.real


async def shop(asked: Asked) -> None:
    """Answers by the path."""
    if asked.method == "POST":
        await asked.body()
    path = asked.target.partition("?")[0]
    control = {"/private": "private", "/stale": "max-age=1, stale-while-revalidate=60"}.get(path, "max-age=60")
    if path == "/slow":
        await asyncio.sleep(0.2)
    if path == "/dead":
        asked.writer.close()
        return
    await asked.answer(f"Cache-Control: {control}", body=asked.fields.get("x-request-id", "").encode())


def read(path: Path) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def test_what_became_of_each_request(tmp_path: Path) -> None:
    async def main() -> None:
        log = AccessLog(current_clock(), tmp_path / "log", with_query=True)
        async with rig(shop, access_log=log) as net:
            client = await net.connect()
            for _ in range(4):
                await client.get("/a?b=1", "User-Agent: browser", "Referer: http://front/")
            assert net.proxy.engine.counters.requests == 4
            await client.get("/private")
            await client.send("/form", "Content-Length: 1", method="POST", body=b"x")
            await client.answer()
            first, second = await net.connect(), await net.connect()
            await asyncio.gather(first.get("/slow"), second.get("/slow"))
            await client.get("/stale")
            await asyncio.sleep(1.1)
            await client.get("/stale")
            await client.get("/dead")
            bad = await net.connect()
            await bad.send("/a b")
            await bad.head()
        log.close()

    run_real(main)
    lines = read(tmp_path / "log")
    first = lines[0]
    assert first["method"] == "GET"
    assert (first["path"], first["query"], first["host"], first["protocol"]) == ("/a", "b=1", "shop", "HTTP/1.1")
    assert (first["user_agent"], first["referer"], first["client"]) == ("browser", "http://front/", "127.0.0.1")
    assert first["body_bytes"] == len(first["request_id"]) < first["bytes"]
    assert 0 < first["origin_s"] <= first["duration_s"]
    told = [(line.get("cache"), line.get("fwd"), line.get("detail"), line["status"]) for line in lines]
    assert told[:6] == [
        ("miss", "uri-miss", None, 200),
        # The second is looked up, the others are known by their bytes: all the same in the log.
        ("hit", None, None, 200),
        ("hit", None, None, 200),
        ("hit", None, None, 200),
        ("miss", "uri-miss", "private", 200),
        ("bypass", "method", "method-not-shared", 200),
    ]
    assert sorted(told[6:8]) == [("collapsed", "uri-miss", None, 200), ("miss", "uri-miss", None, 200)]
    assert told[8:10] == [("miss", "uri-miss", None, 200), ("stale", None, "stale-while-revalidate", 200)]
    assert told[10][:2] == ("miss", "uri-miss")
    assert told[10][3] == 502
    assert told[11] == (None, None, None, 400)
    for line in lines[1:4]:
        assert line | {"time": 0, "duration_s": 0, "bytes": 0} == lines[1] | {"time": 0, "duration_s": 0, "bytes": 0}
        assert "origin_s" not in line
        assert "request_id" not in line, "what the app never sees has no id"
        assert line["body_bytes"] == first["body_bytes"]
    assert all(line["origin_s"] >= 0.2 for line in lines[6:8])
    assert "origin_s" not in lines[10], "the app never began"
    ids = [line["request_id"] for line in lines if "request_id" in line]
    assert len(set(ids)) == len(ids)


def test_a_client_that_goes_away_before_its_answer(tmp_path: Path) -> None:
    async def main() -> None:
        log = AccessLog(current_clock(), tmp_path / "log")
        async with rig(shop, access_log=log) as net:
            client = await net.connect()
            await client.send("/slow")
            await asyncio.sleep(0.05)
            # A reset: who only ends what they send may still wait for the answer.
            client.writer.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
            client.writer.transport.abort()
            await asyncio.sleep(0.3)
        log.close()

    run_real(main)
    (line,) = read(tmp_path / "log")
    assert (line["status"], line["aborted"], line["bytes"]) == (499, True, 0)
    assert 0.03 < line["duration_s"] < 0.2


def test_a_slow_upload_is_not_the_apps_time(tmp_path: Path) -> None:
    async def main() -> None:
        log = AccessLog(current_clock(), tmp_path / "log")
        async with rig(shop, access_log=log) as net:
            client = await net.connect()
            await client.send("/form", "Content-Length: 2", method="POST", body=b"x")
            await asyncio.sleep(0.2)
            client.writer.write(b"y")
            assert (await client.answer())[0] == 200
        log.close()

    run_real(main)
    (line,) = read(tmp_path / "log")
    assert line["duration_s"] >= 0.2 > 0.1 > line["origin_s"]


SANE = "a1B2-._~:+/=@"


@pytest.mark.parametrize("trust", [False, True])
@pytest.mark.parametrize("sent", ["", SANE, "x" * 128, "x" * 129, 'a"b', "a b", "a,b", "ü"])
def test_whose_request_id_is_kept(tmp_path: Path, trust: bool, sent: str) -> None:
    """That of a proxy of ours, if it is a plain word; else ours. The app gets what the log has."""

    async def main() -> None:
        log = AccessLog(current_clock(), tmp_path / "log", trust_forwarded=trust)
        async with rig(shop, access_log=log, trust_forwarded=trust) as net:
            client = await net.connect()
            lines = [f"X-Request-Id: {sent}"] if sent else []
            _, _, body = await client.get("/a", *lines)
            for _ in range(3):
                await client.get("/a", *lines)
            (asked,) = net.origin.asked
            assert [name.lower() for name, _ in asked.lines].count("x-request-id") == 1
            assert body.decode() == asked.fields["x-request-id"]
        log.close()
        first, *others = read(tmp_path / "log")
        assert first["request_id"] == body.decode()
        kept = trust and bool(sent) and re.fullmatch(r"[A-Za-z0-9._~:+/=@-]{1,128}", sent) is not None
        assert (first["request_id"] == sent) == kept
        assert [line.get("request_id") for line in others] == [sent if kept else None] * 3

    run_real(main)


def test_without_a_log_the_app_gets_no_id() -> None:
    async def main() -> None:
        async with rig(shop) as net:
            client = await net.connect()
            await client.get("/a")
            assert "x-request-id" not in net.origin.asked[0].fields
            await client.get("/b", "X-Request-Id: own")
            assert net.origin.asked[1].fields["x-request-id"] == "own"

    run_real(main)


@pytest.mark.parametrize(("trust", "client"), [(False, "127.0.0.1"), (True, "198.51.100.7")])
def test_the_client_behind_a_proxy_of_ours(tmp_path: Path, trust: bool, client: str) -> None:
    async def main() -> None:
        log = AccessLog(current_clock(), tmp_path / "log", trust_forwarded=trust)
        async with rig(shop, access_log=log, trust_forwarded=trust) as net:
            connection = await net.connect()
            for _ in range(4):
                await connection.get("/a", "X-Forwarded-For: 203.0.113.1, 198.51.100.7")
            known = len(net.proxy.handler.known_hits)
            assert known, "the last ones were known by their bytes"
        log.close()

    run_real(main)
    assert [line["client"] for line in read(tmp_path / "log")] == [client] * 4
