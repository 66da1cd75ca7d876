"""The peers: nginx that answers at once, and penstock's fault server in a process of its own."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .processes import SERVER_CORE, Child, Ended, need

_NGINX = """
daemon off;
master_process off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  keepalive_timeout 600s;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  default_type application/json;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{ return 200 '{{"similarity": 1.0}}'; }}
  }}
}}
"""


@contextlib.contextmanager
def nginx(folder: Path, *, core: int = SERVER_CORE) -> Iterator[int]:
    """A single nginx process on `core` that answers every request alike; yields its port."""
    program = need("nginx", "nginx-light")
    port = free_port()
    configuration = folder / "nginx.conf"
    configuration.write_text(_NGINX.format(folder=folder, port=port))
    argv: list[str | Path] = [program, "-p", folder, "-c", configuration]
    with Child(argv, core=core, folder=folder, name="nginx") as child:
        _wait_for(child, port)
        yield port


class FaultProcess:
    """A fault server in a process of its own, and what it wrote down."""

    def __init__(self, child: Child, port: int, arrivals: Path, statistics: Path) -> None:
        self.child = child
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self._arrivals = arrivals
        self._statistics = statistics

    def statistics(self) -> dict[str, Any]:
        """Its counters now."""
        return get_json(self.port, "/stats")

    def arrivals(self) -> Any:
        """Times of arrivals so far (up to 0.2 s are not in the file yet), on the monotonic clock."""
        from penstock.testing import read_arrivals

        return read_arrivals(self._arrivals)

    def end(self) -> dict[str, Any]:
        """Stop it in order; returns its counters. All arrivals are in the file then."""
        ended: Ended = self.child.end()
        if ended.code != 0:
            raise RuntimeError(f"the fault server ended with {ended.code}: {ended.stderr[-2000:]}")
        counters: dict[str, Any] = json.loads(self._statistics.read_text())
        return counters


@contextlib.contextmanager
def fault_server(
    folder: Path,
    *options: str | Path,
    name: str = "server",
    core: int = SERVER_CORE,
    start_timeout: float = 30.0,
    module: str = "penstock.testing.fault_server",
) -> Iterator[FaultProcess]:
    """`python -m penstock.testing.fault_server` with these options, or the paged server of the same making."""
    port_file, arrivals, statistics = (folder / f"{name}.{each}" for each in ("port", "arrivals", "stats"))
    port_file.unlink(missing_ok=True)
    arrivals.unlink(missing_ok=True)
    argv: list[str | Path] = [sys.executable, "-m", module]
    argv += ["--port-file", port_file, "--arrivals", arrivals]
    with Child([*argv, "--stats-out", statistics, *options], core=core, folder=folder, name=name) as child:
        deadline = time.monotonic() + start_timeout
        while not port_file.exists():
            ended = child.poll()
            if ended is not None:
                raise RuntimeError(f"the fault server did not start: {ended.stderr[-2000:]}")
            if time.monotonic() > deadline:
                raise TimeoutError(f"the fault server did not start within {start_timeout:.0f} s")
            time.sleep(0.02)
        yield FaultProcess(child, int(port_file.read_text()), arrivals, statistics)


def free_port() -> int:
    """A port on loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def get_json(port: int, path: str) -> dict[str, Any]:
    """GET and parse."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        value: dict[str, Any] = json.loads(connection.getresponse().read())
        return value
    finally:
        connection.close()


def _wait_for(child: Child, port: int) -> None:
    for _ in range(250):
        ended = child.poll()
        if ended is not None:
            raise RuntimeError(f"nginx did not start: {ended.stderr[-2000:]}")
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        time.sleep(0.02)
    raise TimeoutError(f"nginx does not listen on port {port}")
