"""All that runs while arms are compared: a server for each of them, the client, and the look at both of a slice."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from ...clock import SYSTEM_CLOCK
from ...rules.moving.bottleneck import Bottleneck, ServerSeen, StopsAt, bottleneck_of
from ...rules.moving.refusals import MOST_NEIGHBOURS
from ...rules.moving.slices import Slice
from ...rules.moving.state import CONTROL
from ..choice import VARIABLE
from .cores import Placing, kept_to
from .load_client import LoadClient, LoadSeen
from .processes import CoreSeconds, core_seconds, cpu_seconds, threads
from .requests_file import RequestLine
from .servers import ArmServer, free_port
from .watching import ServerWatch

AGAIN = f"{CONTROL}#2"
"""The control a second time, against itself."""
_FEWEST_WAITING = 50
_SPARE = 2.0
"""So many times as many requests may wait as the target allows before a slice is cut."""
_MOST_GENERATORS = 4
_LOOKS = 3
_LEAST_WORK = 0.1
"""Of a slice: of a core that had less to do, one tick of the kernel's clock would be a large share of it."""


@dataclass(frozen=True, slots=True)
class _Reading:
    """Clocks at one moment."""

    at: float
    servers: dict[str, float]
    """CPU seconds of the server of each arm."""
    ours: float
    """Of all that is ours and runs where the servers run."""
    cores: CoreSeconds
    """Of the server's cores."""
    client_cores: CoreSeconds


class BenchStage:
    """A context: servers and client are there as long as it is open."""

    def __init__(
        self,
        command: Sequence[str],
        arms: Sequence[str],
        requests: Sequence[RequestLine],
        *,
        workers: int,
        target: float,
        placing: Placing,
        environment: Mapping[str, str],
    ) -> None:
        self._command, self._requests, self._environment = command, requests, environment
        self._arms, self._workers, self._target, self.placing = arms, workers, target, placing
        self._open = ExitStack()
        self.servers: dict[str, ArmServer] = {}
        self._threads_before: dict[str, set[tuple[int, int]]] = {}
        self.slices: list[Slice] = []

    def __enter__(self) -> Self:
        with ExitStack() as opening:
            opening.enter_context(kept_to(self.placing.client))
            for name in self._arms:
                server = opening.enter_context(self._start(name))
                self.servers[name] = server
            for name, server in self.servers.items():
                server.wait_until_ready()
                self._threads_before[name] = set()
            generators = min(len(self.placing.client), _MOST_GENERATORS)
            client = LoadClient(self._requests, self.placing.client, generators, self._environment)
            self._load = opening.enter_context(client)
            self._open = opening.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # All at once: each needs a moment to end.
        for server in self.servers.values():
            server.let_go()
        self._open.close()

    def _start(self, name: str) -> ArmServer:
        port = free_port()
        filled = {"{port}": str(port), "{workers}": str(self._workers)}
        command = [_fill(word, filled) for word in self._command]
        environment = {**self._environment, VARIABLE: CONTROL if name == AGAIN else name}
        return ArmServer(command, name, port, self.placing.server, environment)

    def alone(self, arm: str, count: int) -> tuple[LoadSeen, float]:
        """Requests one after the other, and the CPU seconds of the server for each."""
        server = self.servers[arm]
        before = server.cpu()
        load = self._load.one_by_one(server.port, count)
        used = (server.cpu() - before) / max(1, load.answered)
        # Helpers that begin with the first request, and of a pool the one thread that requests in a row need.
        self._threads_before[arm] |= {(each.pid, each.number) for each in threads(server.pids())}
        return load, used

    def slice(self, arm: str, rate: float, seconds: float, *, spare: float = _SPARE) -> Slice:
        """One slice of load to one arm; it is kept in `slices`, too."""
        made = self._slices([arm], rate, seconds, spare)[0]
        self.slices.append(made)
        return made

    def together(self, turns: Sequence[str], rate: float, seconds: float) -> list[Slice]:
        """A slice of each arm at the same time: requests at `rate` in all, one to each of `turns`, again and again.

        A core is quicker now and slower then, within tenths of a second: so it is for all of them alike.
        """
        return self._slices(turns, rate, seconds, _SPARE)

    def _slices(self, turns: Sequence[str], rate: float, seconds: float, spare: float) -> list[Slice]:
        most = max(_FEWEST_WAITING, int(spare * rate * self._target))
        ports = [self.servers[arm].port for arm in turns]
        before = self._read()
        loads = self._load.turns(ports, rate, seconds, most, drain=max(2.0, 4 * self._target))
        after = self._read()
        asked = sorted(set(turns), key=turns.index)
        return [
            self._made(arm, rate * turns.count(arm) / len(turns), loads[self.servers[arm].port], before, after, asked)
            for arm in asked
        ]

    def _made(
        self, arm: str, rate: float, load: LoadSeen, before: _Reading, after: _Reading, asked: Sequence[str]
    ) -> Slice:
        took = after.at - before.at
        others = (after.cores.busy - before.cores.busy) - (after.ours - before.ours)
        used = {each: cpu - before.servers[each] for each, cpu in after.servers.items()}
        return Slice(
            arm=arm,
            rate=rate,
            seconds=took,
            sent=load.sent,
            answered=load.answered,
            failed=sum(load.why_failed.values()),
            server_cpu=used[arm],
            p50=load.times.quantile(0.5),
            p99=load.times.quantile(0.99),
            late=load.late.quantile(0.99) or 0.0,
            client_cpu=load.cpu,
            neighbours=max(0.0, others) / took / len(self.placing.server),
            steal=after.cores.stolen_since(before.cores, _LEAST_WORK * took * len(self.placing.server)),
            client_steal=after.client_cores.stolen_since(
                before.client_cores, _LEAST_WORK * took * len(self.placing.client)
            ),
            was_cut=load.was_cut,
            body_bytes=load.body_bytes,
            why_failed=load.why_failed,
            in_flight=load.in_flight,
            statuses=load.statuses,
            other_cpu=sum(cpu for each, cpu in used.items() if each not in asked),
        )

    def limit(self, arm: str, rate: float, seconds: float) -> Bottleneck:
        """What the arm stops at, seen while it is given more than it can take."""
        server = self.servers[arm]
        for _ in range(_LOOKS):
            with ServerWatch(server.pids(), server.port, self._threads_before[arm]) as watch:
                seen = self.slice(arm, rate, seconds, spare=2 * _SPARE)
            if seen.neighbours <= MOST_NEIGHBOURS:
                break
        else:
            # It makes a busy server look idle.
            return Bottleneck(
                StopsAt.UNKNOWN, "something that was not seen: a neighbour was busy where the server runs"
            )
        if seen.keeps(self._target):
            return Bottleneck(StopsAt.UNKNOWN, "something that was not seen: it kept the target when it was looked at")
        workers = self._workers
        return bottleneck_of(
            ServerSeen(
                workers=workers,
                cpu=seen.cores_wanted / min(workers, len(self.placing.server)),
                in_flight=seen.in_flight,
                threads=round(watch.threads() / workers) + 1 if watch.threads() else 0,
                threads_outside=watch.threads_outside() / workers,
                connections={address: round(count / workers) or 1 for address, count in watch.connections().items()},
            )
        )

    def ours(self) -> set[int]:
        """All processes that are ours."""
        found = {os.getpid(), *self._load.pids}
        for server in self.servers.values():
            found |= {server.guard_pid, *server.pids()}
        return found

    def _read(self) -> _Reading:
        servers = {name: each.cpu() for name, each in self.servers.items()}
        ours = sum(servers.values()) + cpu_seconds([each.guard_pid for each in self.servers.values()])
        if not self.placing.is_apart:
            ours += cpu_seconds([os.getpid(), *self._load.pids])
        cores, client_cores = core_seconds(self.placing.server), core_seconds(self.placing.client)
        return _Reading(SYSTEM_CLOCK.now(), servers, ours, cores, client_cores)


def _fill(word: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        word = word.replace(name, value)
    return word
