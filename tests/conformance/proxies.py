"""Well-known caches, started as children with the configurations whose scores are published."""

from __future__ import annotations

import asyncio
import shutil
import socket
import tempfile
from asyncio.subprocess import DEVNULL, STDOUT
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

NGINX = """
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  proxy_cache_path {folder}/cache keys_zone=c:8m inactive=600m;
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://127.0.0.1:{origin};
      proxy_cache c;
      proxy_cache_revalidate on;
      proxy_http_version 1.1;
    }}
  }}
}}
"""


def find_program(name: str) -> str | None:
    """Where a server program is; those of Debian are not on every user's path."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")


@asynccontextmanager
async def nginx(origin_port: int) -> AsyncIterator[int]:
    """Debian's nginx before the origin, with the suite's own configuration (section 11); its port."""
    port = _free_port()
    with tempfile.TemporaryDirectory(prefix="conformance-nginx-") as folder:
        configuration = Path(folder) / "nginx.conf"
        configuration.write_text(NGINX.format(folder=folder, port=port, origin=origin_port))
        command = [find_program("nginx") or "nginx", "-p", folder, "-c", str(configuration)]
        async with _child(command, port, folder):
            yield port


@asynccontextmanager
async def varnish(origin_port: int) -> AsyncIterator[int]:
    """Varnish with its built-in VCL, no default lifetime and no grace (section 12); its port."""
    port = _free_port()
    with tempfile.TemporaryDirectory(prefix="conformance-varnish-") as folder:
        # Started by root, it gives up its rights and must still get into its folder.
        Path(folder).chmod(0o755)
        settings = ["default_ttl=0", "default_grace=0", "default_keep=3600"]
        command = [find_program("varnishd") or "varnishd", "-F", "-n", folder, "-a", f"127.0.0.1:{port}"]
        command += ["-b", f"127.0.0.1:{origin_port}", "-s", "malloc,64m"]
        command += [part for each in settings for part in ("-p", each)]
        async with _child(command, port, folder):
            yield port


PROXIES = {"nginx": nginx, "varnish": varnish}


@asynccontextmanager
async def _child(command: list[str], port: int, folder: str) -> AsyncIterator[None]:
    """A child process, ready when it listens on the port, ended with the block; what it says goes into the folder."""
    said = Path(folder) / "output"
    with said.open("wb") as output:
        child = await asyncio.create_subprocess_exec(*command, stdin=DEVNULL, stdout=output, stderr=STDOUT)
    try:
        async with asyncio.timeout(30):
            while True:
                if child.returncode is not None:
                    raise RuntimeError(f"{command[0]} ended with {child.returncode}: {said.read_text()[-1000:]}")
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    await asyncio.sleep(0.05)
                else:
                    writer.close()
                    break
        yield
    finally:
        if child.returncode is None:
            child.terminate()
        await child.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
