"""The shared caches side by side, each on one core, in front of the same origin; and what they cost."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from .processes import CLIENT_CORE, PENSTOCK, SERVER_CORE, Child, MissingTool, need
from .servers import free_port

MEMORY_MB = 512
BODY = "x" * 1024

_NGINX = """
daemon off;
user root;
worker_processes 1;
pid {folder}/{name}.pid;
error_log {folder}/{name}.log;
worker_rlimit_nofile 20000;
events {{ worker_connections 19000; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  keepalive_timeout 600s;
  client_body_temp_path {folder}/{name}-body;
  proxy_temp_path {folder}/{name}-proxy;
  fastcgi_temp_path {folder}/{name}-fastcgi;
  uwsgi_temp_path {folder}/{name}-uwsgi;
  scgi_temp_path {folder}/{name}-scgi;
  default_type text/plain;
{body}
}}
"""

_ORIGIN = """
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location = /_count {{ stub_status; }}
    location / {{ add_header Cache-Control "public, max-age=3600"; return 200 "{text}"; }}
  }}
"""

_CACHE = """
  proxy_cache_path {shm} levels=1:2 keys_zone=bench:64m max_size={memory}m inactive=1h use_temp_path=off;
  upstream app {{ server 127.0.0.1:{origin}; keepalive 1024; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://app;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      proxy_cache bench;
      proxy_cache_key $scheme$http_host$request_uri;
      proxy_cache_lock on;
      proxy_cache_use_stale error timeout updating;
      proxy_cache_background_update on;
      add_header X-Cache $upstream_cache_status;
    }}
  }}
"""

# GET goes straight to the look-up: the VCL that is built in would pass every request that has a cookie.
_VCL = """
vcl 4.1;
backend default {{ .host = "127.0.0.1"; .port = "{origin}"; .connect_timeout = 3s; .first_byte_timeout = 60s; }}
sub vcl_recv {{ if (req.method == "GET") {{ return (hash); }} }}
"""


@dataclass
class Served:
    """A server that listens."""

    name: str
    port: int
    child: Child

    @property
    def url(self) -> str:
        """Without a path."""
        return f"http://127.0.0.1:{self.port}"

    def cpu(self) -> float:
        """User and system seconds so far, of all its processes."""
        return cpu_of_session(self.child.pid)


Starter = Callable[[Path, int], AbstractContextManager[Served]]


@contextlib.contextmanager
def origin(folder: Path, *, core: int = CLIENT_CORE) -> Iterator[Served]:
    """An nginx that gives every path 1 KB which is fresh for an hour, and counts: see `origin_count`."""
    port = free_port()
    with _nginx(folder, "origin", port, _ORIGIN.format(port=port, text=BODY), core) as served:
        yield served


def origin_count(served: Served) -> int:
    """Requests to the nginx origin so far, those to count with included."""
    return int(get(served.port, "/_count")[1].split(b"\n")[2].split()[2])


@contextlib.contextmanager
def penstock(folder: Path, to: int, *options: str, name: str = "penstock", core: int = SERVER_CORE) -> Iterator[Served]:
    """`penstock proxy` as a user starts it, without the bound on connections of one address."""
    port = free_port()
    argv = [*PENSTOCK, "proxy", "--origin", f"http://127.0.0.1:{to}", "--listen", f"127.0.0.1:{port}"]
    argv += ["--memory", f"{MEMORY_MB}MiB", "--max-connections", "19000", "--max-connections-per-address", "0"]
    with Child([*argv, *options], core=core, folder=folder, name=name) as child:
        wait_for(child, port, name)
        yield Served(name, port, child)


@contextlib.contextmanager
def varnish(folder: Path, to: int) -> Iterator[Served]:
    """Varnish with one pool of threads, enough of them for all clients here, and memory of its own."""
    need("varnishd", "varnish")
    port = free_port()
    vcl = folder / "varnish.vcl"
    vcl.write_text(_VCL.format(origin=to))
    argv = ["varnishd", "-F", "-j", "none", "-n", str(folder / "varnish"), "-a", f"127.0.0.1:{port}", "-f", str(vcl)]
    argv += ["-s", f"malloc,{MEMORY_MB}m", "-p", "thread_pools=1", "-p", "thread_pool_min=1000"]
    argv += ["-p", "thread_queue_limit=20000", "-p", "listen_depth=4096"]
    with Child(argv, core=SERVER_CORE, folder=folder, name="varnish") as child:
        wait_for(child, port, "varnish")
        # The threads are made one after the other.
        time.sleep(0.5)
        yield Served("varnish", port, child)


@contextlib.contextmanager
def nginx_cache(folder: Path, to: int) -> Iterator[Served]:
    """An nginx with `proxy_cache` in shared memory, one worker, `proxy_cache_lock on`."""
    port = free_port()
    with contextlib.ExitStack() as stack:
        shm = Path(stack.enter_context(_shared_memory()))
        body = _CACHE.format(port=port, origin=to, shm=shm, memory=MEMORY_MB)
        yield stack.enter_context(_nginx(folder, "nginx", port, body, SERVER_CORE))


CACHES: dict[str, Starter] = {"penstock": penstock, "varnish": varnish, "nginx": nginx_cache}


@contextlib.contextmanager
def caches(folder: Path, to: int, names: tuple[str, ...] = tuple(CACHES)) -> Iterator[list[Served]]:
    """All of them, started together in front of the origin on port `to`: idle ones cost nothing."""
    with ExitStack() as stack:
        started = []
        for name in names:
            own = folder / name
            own.mkdir(exist_ok=True)
            started.append(stack.enter_context(CACHES[name](own, to)))
        yield started


@contextlib.contextmanager
def hello(folder: Path, name: str) -> Iterator[Served]:
    """Either uvicorn or granian with an app that gives the same 1 KB: what an app costs that does nothing at all.

    Raises MissingTool.
    """
    try:
        version(name)
    except PackageNotFoundError:
        raise MissingTool(f"{name} is not there: pip install {name}") from None
    port = free_port()
    argv = [sys.executable, "-m", name, "benchmarks.cache_hello:app", "--host", "127.0.0.1", "--port", str(port)]
    if name == "uvicorn":
        argv += ["--http", "httptools", "--loop", "uvloop", "--no-access-log", "--log-level", "warning"]
    else:
        argv += ["--interface", "asgi", "--workers", "1", "--no-access-log", "--loop", "uvloop", "--backlog", "4096"]
    with Child(argv, core=SERVER_CORE, folder=folder, name=name) as child:
        wait_for(child, port, name)
        yield Served(name, port, child)


def cache_versions() -> dict[str, str]:
    """Of what the report does not know by itself."""
    found = {"varnish": _says(["varnishd", "-V"], r"varnish-(\S+)")}
    for package in ("uvicorn", "granian"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "missing"
    return found


def get(port: int, path: str, timeout: float = 10.0) -> tuple[int, bytes, http.client.HTTPMessage]:
    """Status, body and fields of one GET."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.headers
    finally:
        connection.close()


def cpu_of_session(session: int) -> float:
    """User and system seconds of all living processes of a session."""
    ticks = 0
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == session:
                ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def wait_for(child: Child, port: int, name: str, seconds: float = 20.0) -> None:
    """Until it listens. Raises RuntimeError if it ends, TimeoutError."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        ended = child.poll()
        if ended is not None:
            raise RuntimeError(f"{name} did not start: {(ended.stderr or ended.stdout)[-2000:]}")
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        time.sleep(0.02)
    raise TimeoutError(f"{name} does not listen on port {port}")


@contextlib.contextmanager
def _nginx(folder: Path, name: str, port: int, body: str, core: int) -> Iterator[Served]:
    program = need("nginx", "nginx-light")
    configuration = folder / f"{name}.conf"
    configuration.write_text(_NGINX.format(folder=folder, name=name, body=body))
    argv: list[str | Path] = [program, "-p", folder, "-c", configuration]
    with Child(argv, core=core, folder=folder, name=name) as child:
        wait_for(child, port, name)
        yield Served(name, port, child)


@contextlib.contextmanager
def _shared_memory() -> Iterator[str]:
    import tempfile

    where = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: S108  # memory, not a place to keep anything
    with tempfile.TemporaryDirectory(prefix="penstock-bench-", dir=where, ignore_cleanup_errors=True) as name:
        yield name


def _says(argv: list[str], pattern: str) -> str:
    try:
        ended = subprocess.run(argv, capture_output=True, text=True, timeout=10, check=False)
    except OSError:
        return "missing"
    match = re.search(pattern, ended.stdout + ended.stderr)
    return match[1] if match else "missing"
