"""A purge that was acknowledged holds in all processes, whatever comes when, and whoever dies meanwhile."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine
from pathlib import Path
from random import Random
from typing import Any

import pytest

from penstock.inbound.processes.asking_end import AskingEnd
from penstock.inbound.processes.desk import CrewDesk
from penstock.inbound.processes.duties import Duties
from penstock.inbound.processes.member import CacheMember, Station
from penstock.inbound.processes.owner_end import OwnerEnd
from penstock.inbound.processes.supervisor import Supervisor
from penstock.inbound.proxy.proxy import ProxySettings
from penstock.testing import run_virtual

from ..cache.fakes import raw_fields
from .fake_links import FakeClient, FakeLine, FakeProcess, FakeTransport, Pipe, connected

SCHEDULES = int(os.environ.get("PENSTOCK_SCHEDULES", "2000"))
BATCHES = 20
TARGETS = ["/a", "/b", "/c", "/d"]
SETTINGS = ProxySettings("http://127.0.0.1:1", memory=1 << 20)


class Fetch:
    """One request to the app, which has read what it answers when it was asked."""

    def __init__(self, world: World, target: str, receiver: Any) -> None:
        self.receiver = receiver
        self.version = world.versions[target]
        self.open = True
        world.fetches.append(self)

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def cancel(self) -> None:
        self.open = False

    def answer(self) -> None:
        if self.open:
            self.open = False
            body = b"%d" % self.version
            said = {"cache-control": "max-age=600", "cache-tag": "t"}
            self.receiver.on_head(200, b"OK", raw_fields(said), len(body))
            self.receiver.on_body(body)
            self.receiver.on_end()


class Node:
    """One process, from its start to its end."""

    def __init__(self, world: World, here: int) -> None:
        self.alive = True
        self.member = CacheMember(SETTINGS, Station(here, world.count, Path(), b"secret", b"penstock-x"))
        self.member.proxy.engine.origin = self
        self.world = world
        self.ends: list[tuple[AskingEnd | OwnerEnd, FakeTransport]] = []
        self.line = FakeLine()
        self.process = FakeProcess(here)

    def fetch(self, request: Any, fields: Any, receiver: Any, reply: Any) -> Fetch:
        """As an Origin."""
        return Fetch(self.world, request.target.decode(), receiver)

    async def serve(self) -> None:
        async def start() -> str:
            return ""

        async def drain(timeout: float) -> None: ...

        self.line.say({"up": True})
        await Duties(self.member, self.line, start, lambda _: "", drain).serve()  # type: ignore[arg-type]


class World:
    def __init__(self, chance: Random) -> None:
        self.chance = chance
        self.count = chance.choice([2, 2, 3])
        self.versions = dict.fromkeys(TARGETS, 0)
        self.floors = dict.fromkeys(TARGETS, 0)
        self.fetches: list[Fetch] = []
        self.pipes: list[Pipe] = []
        self.asked: list[tuple[str, int, Node, FakeClient]] = []
        self.nodes: dict[int, Node] = {}
        self.acknowledged = self.purges = self.deaths = 0
        self.tasks: list[asyncio.Task[Any]] = []
        self.parent = Supervisor(self.count, self.spawn, lambda *_: None, lambda *_: None)  # type: ignore[arg-type]
        self.desk = CrewDesk(self.parent)

    def task(self, work: Coroutine[Any, Any, Any]) -> None:
        self.tasks.append(asyncio.ensure_future(work))

    async def spawn(self, here: int) -> tuple[FakeProcess, FakeLine]:
        node = self.nodes[here] = Node(self, here)
        ours = FakeLine()
        ours.pipe, node.line.pipe = Pipe(node.line.arrive), Pipe(ours.arrive)
        self.pipes += [ours.pipe, node.line.pipe]
        self.task(node.serve())
        return node.process, ours

    async def begin(self) -> None:
        starting = asyncio.ensure_future(self.parent.start())
        while not starting.done():
            await self.move()
        await starting
        self.connect()

    def connect(self) -> None:
        """Whoever is not connected."""
        for here, one in self.nodes.items():
            for there, other in self.nodes.items():
                peer = one.member.neighbours.peers[there]
                up = any(isinstance(end, AskingEnd) and end._peer is peer and not t.closed for end, t in one.ends)
                if here == there or up or not (one.alive and other.alive) or peer._end is not None:
                    continue
                greeting = one.member.neighbours._greeting
                asking, owner = AskingEnd(peer, greeting), OwnerEnd(other.member._owner, greeting)
                first, second, there_pipe, back = connected(asking, owner)
                one.ends.append((asking, first))
                other.ends.append((owner, second))
                self.pipes += [there_pipe, back]

    # What may happen.

    def ask(self) -> None:
        node = self.chance.choice([*self.nodes.values()])
        target = self.chance.choice(TARGETS)
        if node.alive:
            client = FakeClient(target)
            self.asked.append((target, self.floors[target], node, client))
            node.member.passing.begin(client.exchange)

    def answer(self) -> None:
        waiting = [fetch for fetch in self.fetches if fetch.open]
        if waiting:
            self.chance.choice(waiting).answer()

    def purge(self) -> None:
        """The app has something new, says so, and believes what it is told."""
        target = self.chance.choice(TARGETS)
        what = self.chance.choice(["url", "tag", "all"])
        changed = [target] if what == "url" else TARGETS
        for each in changed:
            self.versions[each] += 1
        floors = {each: self.versions[each] for each in changed}
        self.purges += 1

        def then(status: int, answer: dict[str, Any]) -> None:
            assert status == 200, answer
            self.acknowledged += 1
            for each, floor in floors.items():
                self.floors[each] = max(self.floors[each], floor)

        urls = [f"http://shop{target}"] if what == "url" else []
        tags = ["t"] if what == "tag" else []
        self.desk.ask("purge", {"urls": urls, "tags": tags, "everything": what == "all", "soft": False}, then)

    def die(self) -> None:
        here = self.chance.choice([*self.nodes])
        node = self.nodes[here]
        if not node.alive:
            return
        self.deaths += 1
        node.alive = False
        for end, transport in node.ends:
            transport.close()
            # Nothing arrives at it any more, and it says nothing.
            end._transport = None
            end.data_received = end.connection_lost = lambda *_: None  # type: ignore[method-assign, assignment]
        for fetch in self.fetches:
            if fetch.receiver.judge._asker is node.member.proxy.engine:
                fetch.open = False
        node.line.pipe.say(None)
        node.line.arrive(None)

    async def move(self) -> None:
        full = [pipe for pipe in self.pipes if pipe.waiting]
        if full:
            self.chance.choice(full).move(self.chance)
        await asyncio.sleep(0)
        if self.chance.random() < 0.5:
            await asyncio.sleep(0)

    async def run(self, *, deaths: bool) -> None:
        await self.begin()
        steps = [self.ask] * 5 + [self.answer] * 4 + [self.purge] * 2 + ([self.die] if deaths else [])
        for _ in range(self.chance.randrange(20, 60)):
            self.chance.choice(steps)()
            self.connect()
            for _ in range(self.chance.randrange(5)):
                await self.move()
        for _ in range(2000):
            self.answer()
            self.connect()
            await self.move()
            if not any(pipe.waiting for pipe in self.pipes) and not any(fetch.open for fetch in self.fetches):
                await asyncio.sleep(0.01)
                if not any(pipe.waiting for pipe in self.pipes) and not any(fetch.open for fetch in self.fetches):
                    break
        self.judge()
        for node in self.nodes.values():
            node.member.proxy.engine.close()
        await self.parent.aclose()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    def judge(self) -> None:
        assert self.acknowledged == self.purges
        for target, floor, node, client in self.asked:
            if not node.alive or node is not self.nodes[node.member.place.here]:
                continue
            assert client.over or client.broken, f"no answer to {target}"
            if client.sent.startswith(b"HTTP/1.1 200 OK\r\n"):
                version = int(client.sent.partition(b"\r\n\r\n")[2])
                assert version >= floor, f"{target}: {version} was sent after {floor} was acknowledged"
            else:
                assert client.broken, client.sent


@pytest.mark.parametrize("batch", range(BATCHES))
def test_what_was_purged_is_served_by_no_process_after_the_acknowledgement(batch: int) -> None:
    asked = dead = 0
    for number in range(SCHEDULES // BATCHES):
        seed = batch * 1_000_000 + number
        made: list[World] = []

        async def one(seed: int = seed, made: list[World] = made) -> None:
            made.append(World(Random(seed)))
            await made[0].run(deaths=seed % 2 == 1)

        try:
            run_virtual(one())
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
        asked += len(made[0].asked)
        dead += made[0].deaths
    assert asked > SCHEDULES // BATCHES
    assert dead
