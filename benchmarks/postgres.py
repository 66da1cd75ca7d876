"""PostgreSQL of the machine, started for as long as somebody needs it; for benchmarks and for tests."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from .processes import Child, MissingTool, need
from .servers import free_port

_ENDS_WITHIN = 20.0


@contextlib.contextmanager
def postgres(folder: Path, *, core: int | None = None) -> Iterator[str]:
    """PostgreSQL on a free port of loopback with its data in `folder`; yields its address.

    `folder` and those above it must be open to other users. Raises MissingTool.
    """
    binaries = _binaries()
    data, port = folder / "data", free_port()
    become = _become(folder, data)
    make = [*become, str(binaries / "initdb"), "-D", str(data), "-U", "bench", "--auth=trust", "--no-sync"]
    make += ["--no-locale", "--encoding=UTF8"]
    subprocess.run(make, check=True, stdout=subprocess.DEVNULL, cwd=folder)
    serve = [*become, str(binaries / "postgres"), "-D", str(data), "-p", str(port), "-c", "listen_addresses=127.0.0.1"]
    serve += ["-c", "unix_socket_directories=", "-c", "max_connections=200", "-c", "fsync=off"]
    with Child(serve, core=core, folder=folder, name="postgres") as child:
        try:
            _wait_for(child, binaries, port)
            yield f"host=127.0.0.1 port={port} user=bench dbname=postgres"
        finally:
            _end(child)


def _binaries() -> Path:
    """The folder with the programs of the newest version."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not found:
        raise MissingTool("PostgreSQL is not there: apt-get install postgresql")
    return found[-1].parent


def _become(folder: Path, data: Path) -> list[str]:
    """What runs a command as the owner of `data`: PostgreSQL refuses to run as root."""
    data.mkdir(mode=0o700)
    if os.geteuid() != 0:
        return []
    folder.chmod(0o755)
    shutil.chown(data, "postgres", "postgres")
    # It becomes the command, where runuser would stand between it and our signals.
    return [need("setpriv", "util-linux"), "--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]


def _wait_for(child: Child, binaries: Path, port: int) -> None:
    for _ in range(300):
        ended = child.poll()
        if ended is not None:
            raise RuntimeError(f"PostgreSQL did not start: {ended.stderr[-1000:]}")
        ready = [str(binaries / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
        if subprocess.run(ready, check=False).returncode == 0:
            return
        time.sleep(0.1)
    raise TimeoutError("PostgreSQL does not answer")


def _end(child: Child) -> None:
    """In order, though clients are there: a killed one leaves shared memory behind, and its processes for a while."""
    if child.poll() is None:
        os.kill(child.pid, signal.SIGINT)
        child.wait(time.monotonic() - child.began + _ENDS_WITHIN)
