"""Variants over real sockets: hits for many languages and codings, and a flood that hurts nobody else."""

from __future__ import annotations

import random
import time

import pytest

from penstock.inbound.cache.policy import PathPolicy, Policy

from .real_tools import Asked, rig, run_real

pytestmark = pytest.mark.real

FRESH = "Cache-Control: public, max-age=600"
ENCODINGS = ["gzip, deflate, br, zstd", "gzip, deflate, br", "gzip, deflate", "gzip", "GZIP;q=1.0, *;q=0.5", "identity"]


async def speak(asked: Asked) -> None:
    """An app that has every language, and gzip."""
    said = asked.fields.get("accept-language", "none")
    coding = "gzip" if "gzip" in asked.fields.get("accept-encoding", "").lower() else ""
    more = [f"Content-Encoding: {coding}"] if coding else []
    await asked.answer(FRESH, "Vary: Accept-Language, Accept-Encoding", *more, body=f"{said} {coding}".encode())


@pytest.mark.parametrize(("encodings", "least"), [(ENCODINGS[:1], 0.84), (ENCODINGS, 0.79)])
def test_languages_by_zipf_are_hits(encodings: list[str], least: float) -> None:
    """2,000 requests in 300 languages: 34 % were hits, and 17 % with six codings. Nobody gets what is another's."""

    async def main() -> None:
        chance = random.Random(12)
        names = [f"x{rank}" for rank in range(300)]
        languages = chance.choices(names, [1 / rank for rank in range(1, 301)], k=2000)
        async with rig(speak) as net:
            client = await net.connect()
            for language in languages:
                accepts = chance.choices(encodings, range(len(encodings), 0, -1))[0]
                _, fields, body = await client.get("/", f"Accept-Language: {language}", f"Accept-Encoding: {accepts}")
                coding = fields.get("content-encoding", "")
                assert body == f"{language} {coding}".encode()
                assert coding in accepts.lower()
            assert 1 - len(net.origin.asked) / 2000 > least
            assert net.proxy.store.variant_evictions == 0

    run_real(main)


def test_a_policys_languages_are_all_that_there_is() -> None:
    async def main() -> None:
        policy = Policy((), default=PathPolicy(accept_language=("de", "en")))
        async with rig(speak, policy=policy) as net:
            client = await net.connect()
            for said, got in [
                ("de-CH, en;q=0.5", "de"),
                ("DE", "de"),
                ("fr, en;q=0.1", "en"),
                ("fr", "none"),
                ("*", "none"),
            ]:
                for _ in range(2):
                    _, _, body = await client.get("/", f"Accept-Language: {said}")
                    assert body == f"{got} ".encode()
            assert [asked.fields.get("accept-language") for asked in net.origin.asked] == ["de", "en", None]

    run_real(main)


def test_a_flood_of_values_stops_neither_hot_pages_nor_the_loop() -> None:
    """One client sends a new value each time; the pages of others stay, and a purge of it all is over at once."""

    async def main() -> None:
        async with rig(speak, memory=8 << 20, max_variants_bytes=1 << 20) as net:
            client = await net.connect()
            for number in range(500):
                await client.get(f"/{number}")
            for number in range(4000):
                await client.get("/", f"Accept-Language: z{number}")
                if number % 50 == 0:
                    _, fields, _ = await client.get("/", "Accept-Language: hot")
                    assert number == 0 or "; hit" in fields["cache-status"], number
            asked = len(net.origin.asked)
            for number in range(500):
                await client.get(f"/{number}")
            assert len(net.origin.asked) == asked
            store = net.proxy.store
            assert store.variant_evictions > 1000
            assert store.evictions == 0
            began = time.perf_counter()
            net.proxy.purge(urls=["http://shop/"])
            assert time.perf_counter() - began < 0.02
            _, fields, _ = await client.get("/", "Accept-Language: hot")
            assert "fwd=" in fields["cache-status"]

    run_real(main)
