"""What can be seen of processes from outside, in /proc: who belongs together, CPU, threads, connections, cores.

What has ended in the meantime is left out: a process may end at any moment.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ...clock import cpu_of_process

_PROC = Path("/proc")
_ESTABLISHED, _LISTENING = "01", "0A"
_CHILDREN_USER, _CHILDREN_SYSTEM = 13, 14
"""Fields of /proc/PID/stat behind the name, from 0: CPU of children that have ended and were waited for."""


def descendants(pid: int) -> list[int]:
    """The children of a process, theirs, and so on; not itself."""
    children: dict[int, list[int]] = {}
    for each in _pids():
        fields = _stat(each)
        if fields:
            children.setdefault(int(fields[1]), []).append(each)
    found, ahead = [], [pid]
    while ahead:
        new = children.get(ahead.pop(), [])
        found += new
        ahead += new
    return found


def cpu_seconds(pids: Iterable[int]) -> float:
    """CPU that these processes have used by now, with that of their children that have ended."""
    total = 0.0
    for pid in pids:
        with contextlib.suppress(OSError):
            total += cpu_of_process(pid)
        fields = _stat(pid)
        if fields:
            ticks = int(fields[_CHILDREN_USER]) + int(fields[_CHILDREN_SYSTEM])
            total += ticks / os.sysconf("SC_CLK_TCK")
    return total


@dataclass(frozen=True, slots=True)
class CoreSeconds:
    """How long some cores have been at work since the machine began, and how long they would have, but for the host.

    What the host takes from a virtual machine (steal) is taken only while there is work.
    """

    busy: float
    stolen: float

    def stolen_since(self, before: CoreSeconds, least: float) -> float:
        """The share of the time with work since `before`, of `least` seconds at least, that the host took."""
        stolen = self.stolen - before.stolen
        return stolen / max(least, stolen + self.busy - before.busy)


def core_seconds(cores: Iterable[int]) -> CoreSeconds:
    """Of these cores, together."""
    wanted = {f"cpu{core}" for core in cores}
    busy = stolen = 0
    for line in (_PROC / "stat").read_text().splitlines():
        name, *ticks = line.split()
        if name in wanted:
            user, nice, system, _idle, _waiting, interrupts, soft, steal = map(int, ticks[:8])
            busy += user + nice + system + interrupts + soft
            stolen += steal
    second = os.sysconf("SC_CLK_TCK")
    return CoreSeconds(busy / second, stolen / second)


def busiest(before: dict[int, float], mine: set[int], count: int = 3) -> list[str]:
    """The names of the processes, but for `mine`, that used most CPU since `before`, which `cpu_by_process` gave."""
    used = {pid: seconds - before.get(pid, 0.0) for pid, seconds in cpu_by_process().items() if pid not in mine}
    most = sorted((pid for pid, seconds in used.items() if seconds > 0.1), key=lambda pid: -used[pid])
    return [f"{name_of(pid)} ({pid})" for pid in most[:count]]


def cpu_by_process() -> dict[int, float]:
    """CPU seconds of every process that may be looked at."""
    found = {}
    for pid in _pids():
        with contextlib.suppress(OSError):
            found[pid] = cpu_of_process(pid)
    return found


def name_of(pid: int) -> str:
    """What a process calls itself."""
    with contextlib.suppress(OSError):
        return (_PROC / str(pid) / "comm").read_text().strip()
    return "?"


def program_of(pid: int) -> str | None:
    """The file that it runs, links followed."""
    with contextlib.suppress(OSError):
        return str((_PROC / str(pid) / "exe").readlink())
    return None


@dataclass(frozen=True, slots=True)
class ThreadSeen:
    """A thread at one moment. `is_outside`: it runs, or waits for something that is not another thread.

    `runs`: how many times it was given a core by now.
    """

    pid: int
    number: int
    is_outside: bool
    runs: int


def threads(pids: Iterable[int]) -> list[ThreadSeen]:
    """Every thread of these processes. Where the kernel does not tell what one waits for, it counts as outside."""
    found = []
    for pid in pids:
        with contextlib.suppress(OSError):
            for task in (_PROC / str(pid) / "task").iterdir():
                with contextlib.suppress(OSError):
                    waits_in = (task / "wchan").read_text()
                    # The last two lines: how often it gave a core back, of its own will and not.
                    switches = (task / "status").read_text().split()
                    runs = int(switches[-1]) + int(switches[-3])
                    found.append(ThreadSeen(pid, int(task.name), "futex" not in waits_in, runs))
    return found


def connections(pids: Iterable[int], *, but_port: int) -> Counter[str]:
    """How many open connections these processes have made, by address; those to `but_port` of their own left out."""
    seen = Counter[str]()
    for pid in pids:
        own = _sockets(pid)
        for local, remote, state, inode in _tcp(pid):
            if state == _ESTABLISHED and inode in own and _port(local) != but_port:
                seen[_address(remote)] += 1
    return seen


def listens(pids: Iterable[int], port: int) -> bool:
    """Whether one of these processes listens on `port`."""
    for pid in pids:
        own = _sockets(pid)
        if any(
            state == _LISTENING and _port(local) == port and inode in own for local, _remote, state, inode in _tcp(pid)
        ):
            return True
    return False


def _pids() -> list[int]:
    return [int(each.name) for each in _PROC.iterdir() if each.name.isdigit()]


def _stat(pid: int) -> list[str]:
    """The fields behind the name, which may hold anything."""
    with contextlib.suppress(OSError):
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return []


def _sockets(pid: int) -> set[str]:
    found = set()
    with contextlib.suppress(OSError):
        for each in (_PROC / str(pid) / "fd").iterdir():
            with contextlib.suppress(OSError):
                target = str(each.readlink())
                if target.startswith("socket:["):
                    found.add(target[8:-1])
    return found


def _tcp(pid: int) -> Iterator[tuple[str, str, str, str]]:
    """Local address, remote address, state and inode of each TCP socket that the process's network has."""
    for name in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in (_PROC / str(pid) / "net" / name).read_text().splitlines()[1:]:
                fields = line.split()
                yield fields[1], fields[2], fields[3], fields[9]


def _port(address: str) -> int:
    return int(address.rpartition(":")[2], 16)


def _address(text: str) -> str:
    """The kernel's `0100007F:1F90` as `127.0.0.1:8080`."""
    digits = text.partition(":")[0]
    words = [int(digits[at : at + 8], 16) for at in range(0, len(digits), 8)]
    packed = struct.pack(f"={len(words)}I", *words)
    host = socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed)
    return f"{host}:{_port(text)}" if len(packed) == 4 else f"[{host}]:{_port(text)}"


def own_cores() -> list[int]:
    """The cores that this process may use."""
    return sorted(os.sched_getaffinity(0))
