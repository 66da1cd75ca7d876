"""The processes that make the load, as one: starts them, gives each its part of a slice, adds up what they saw."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from ...clock import SYSTEM_CLOCK
from ...errors import PenstockError
from ...observe.histogram import Histogram
from . import load
from .processes import cpu_seconds
from .requests_file import RequestLine, to_wire

_LEAD = 0.02
"""Seconds from the order to the first request, so that all processes are ready by then."""
_SLACK = 20.0


class LoadLost(PenstockError):
    """A process that makes the load has ended, or does not answer."""


@dataclass(frozen=True, slots=True)
class LoadSeen:
    """What all of them saw of one slice. `cpu`: of a core, the busiest of them."""

    seconds: float
    sent: int
    answered: int
    body_bytes: int
    why_failed: dict[str, int]
    said: str
    was_cut: bool
    late: Histogram
    times: Histogram
    cpu: float
    in_flight: float
    """Requests under way, on average over the second half; all that there may be where it was cut."""
    statuses: dict[int, int] = field(default_factory=dict)
    """How many answers had which."""


class LoadClient:
    """`count` processes on `cores`, each sending every so many-th request."""

    def __init__(
        self, requests: Sequence[RequestLine], cores: Sequence[int], count: int, environment: Mapping[str, str]
    ) -> None:
        self._processes = [
            subprocess.Popen(  # noqa: S603  # our own module
                load.COMMAND,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=dict(environment),
                start_new_session=True,
            )
            for _ in range(count)
        ]
        for each in self._processes:
            with contextlib.suppress(OSError):
                os.sched_setaffinity(each.pid, set(cores))
        self._say({"requests": to_wire(list(requests))})

    @property
    def pids(self) -> list[int]:
        """Of its processes."""
        return [each.pid for each in self._processes]

    def one_by_one(self, port: int, count: int, seconds: float = 10.0) -> LoadSeen:
        """`count` requests by one process, each when the one before is answered; fewer where time is short."""
        self._send(self._processes[0], {"turns": [port], "one_by_one": count, "seconds": seconds})
        began, before = SYSTEM_CLOCK.now(), self._cpu()
        answers = self._answers(self._processes[:1], seconds + _SLACK)
        return self._added(port, answers, SYSTEM_CLOCK.now() - began, before)

    def slice(self, port: int, rate: float, seconds: float, most: int, drain: float) -> LoadSeen:
        """Requests at `rate` for `seconds`; cut where more than `most` are under way."""
        return self.turns([port], rate, seconds, most, drain)[port]

    def turns(self, ports: Sequence[int], rate: float, seconds: float, most: int, drain: float) -> dict[int, LoadSeen]:
        """Requests at `rate` together, one to each of `ports` in turn, again and again; what was seen of each port."""
        count = len(self._processes)
        began, before = SYSTEM_CLOCK.now(), self._cpu()
        rounds = max(1, round(rate * seconds / count / len(ports)))
        for number, process in enumerate(self._processes):
            begin = began + _LEAD + number / rate
            order = {"turns": list(ports), "begin": begin, "gap": count / rate, "rounds": rounds}
            self._send(process, order | {"most": max(1, most // count), "drain": drain})
        answers = self._answers(self._processes, seconds + drain + _SLACK)
        took = SYSTEM_CLOCK.now() - began
        return {port: self._added(port, answers, took, before) for port in set(ports)}

    def _cpu(self) -> list[float]:
        return [cpu_seconds([pid]) for pid in self.pids]

    def _say(self, order: dict[str, Any]) -> None:
        for process in self._processes:
            self._send(process, order)

    def _send(self, process: subprocess.Popen[bytes], order: dict[str, Any]) -> None:
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps(order).encode() + b"\n")
            process.stdin.flush()
        except OSError:
            raise LoadLost("a process that makes the load has ended") from None

    def _answers(self, processes: Sequence[subprocess.Popen[bytes]], patience: float) -> list[dict[str, Any]]:
        found = []
        until = SYSTEM_CLOCK.now() + patience
        for process in processes:
            assert process.stdout is not None
            with selectors.DefaultSelector() as selector:
                selector.register(process.stdout, selectors.EVENT_READ)
                if not selector.select(max(0.0, until - SYSTEM_CLOCK.now())):
                    raise LoadLost(f"a process that makes the load did not answer within {patience:.0f} s")
            line = process.stdout.readline()
            if not line:
                raise LoadLost("a process that makes the load has ended")
            found.append(json.loads(line))
        return found

    def _added(self, port: int, seen: Sequence[dict[str, Any]], seconds: float, before: Sequence[float]) -> LoadSeen:
        late, times, why, statuses = Histogram(), Histogram(), Counter[str](), Counter[int]()
        answers = [each[str(port)] for each in seen]
        for each in answers:
            late.merge(Histogram.from_json(each["late"]))
            times.merge(Histogram.from_json(each["seconds"]))
            why.update(each["why_failed"])
            statuses.update({int(status): count for status, count in each["statuses"].items()})
        used = max(now - then for now, then in zip(self._cpu(), before, strict=True))
        return LoadSeen(
            seconds=seconds,
            sent=sum(each["sent"] for each in answers),
            answered=sum(each["answered"] for each in answers),
            body_bytes=sum(each["body_bytes"] for each in answers),
            why_failed=dict(why),
            said=next((each["said"] for each in answers if each["said"]), ""),
            was_cut=any(each["was_cut"] for each in answers),
            late=late,
            times=times,
            cpu=used / seconds,
            in_flight=sum(each["in_flight"] for each in answers),
            statuses=dict(statuses),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()
