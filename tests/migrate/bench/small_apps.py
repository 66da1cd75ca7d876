"""Apps for `small_server`: each is a function, chosen by `$PENSTOCK_ARM`, with something to stop at."""

from __future__ import annotations

import asyncio
import os
import queue
import socket
import subprocess
import sys
import threading
import time

ARM = os.environ.get("PENSTOCK_ARM", "control")
DATABASE = int(os.environ.get("SMALL_DATABASE", "0"))
FEW = 2


def sleeps(_request: bytes) -> str:
    time.sleep(0.05)
    return "slept"


async def sleeps_on_the_loop(_request: bytes) -> str:
    await asyncio.sleep(0.05)
    return "slept"


waits = sleeps_on_the_loop if ARM == "async" else sleeps

connections: queue.Queue[socket.socket] = queue.Queue()
if DATABASE:
    for _ in range(FEW):
        connections.put(socket.create_connection(("127.0.0.1", DATABASE)))


def asks(_request: bytes) -> str:
    """A pool of two connections to a database that takes 20 ms."""
    connection = connections.get()
    try:
        connection.sendall(b"?")
        return connection.recv(10).decode()
    finally:
        connections.put(connection)


def works(_request: bytes) -> str:
    until = time.thread_time() + (0.004 if ARM == "control" else 0.001)
    while time.thread_time() < until:
        pass
    return "worked"


def in_turn(_request: bytes) -> str:
    """The control is quick, and the other arm needs ten times as much."""
    until = time.thread_time() + (0.001 if ARM == "control" else 0.01)
    while time.thread_time() < until:
        pass
    return "200" if ARM == "control" else "201"


def puts_off(request: bytes) -> str:
    """The work is done a second after the answer."""
    threading.Timer(1.0, works, (request,)).start()
    return "soon"


async def hangs(_request: bytes) -> str:
    await asyncio.sleep(3600)
    return "never"


def denies(_request: bytes) -> str:
    return "401"


def starts_others(_request: bytes) -> str:
    subprocess.run([sys.executable, "-S", "-c", "sum(range(300000))"], check=True)
    return "started"


def make() -> object:
    return works
