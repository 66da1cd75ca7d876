"""A real Chroma server from PyPI, in a virtual environment of its own, on a free port of loopback."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

VERSION = "1.5.9"
_COLLECTIONS = "/api/v2/tenants/default_tenant/databases/default_database/collections"


def environment() -> Path:
    """The virtual environment with Chroma in it, made on first use and kept for the next run."""
    cache = Path(os.environ.get("PENSTOCK_TEST_CACHE", Path.home() / ".cache" / "penstock-tests"))
    home = cache / f"chroma-{VERSION}"
    if not (home / "ready").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(home)], check=True)
        subprocess.run([str(home / "bin" / "pip"), "install", "--quiet", f"chromadb=={VERSION}"], check=True)
        (home / "ready").touch()
    return home


@contextmanager
def chroma_server(data: Path) -> Iterator[str]:
    """Run `chroma run` on a free port; yields the root URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(environment() / "bin" / "chroma"), "run", "--path", str(data)]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    with (data.parent / "chroma.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            root = f"http://127.0.0.1:{port}"
            _wait_for(root, process)
            yield root
        finally:
            process.terminate()
            process.wait(timeout=30)


def _wait_for(root: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{root}/api/v2/heartbeat", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise RuntimeError(f"the Chroma server did not start (exit {process.poll()})")


def make_collection(root: str, vectors: NDArray[np.float32]) -> str:
    """Store `vectors` under their positions as ids, by cosine; returns the collection's id."""
    collection = _post(f"{root}{_COLLECTIONS}", {"name": "census", "metadata": {"hnsw:space": "cosine"}})
    for start in range(0, len(vectors), 500):
        block = vectors[start : start + 500]
        ids = [str(start + row) for row in range(len(block))]
        _post(f"{root}{_COLLECTIONS}/{collection['id']}/add", {"ids": ids, "embeddings": block})
    return str(collection["id"])


def delete(root: str, collection: str, positions: list[int]) -> None:
    """Take vectors out of the collection."""
    _post(f"{root}{_COLLECTIONS}/{collection}/delete", {"ids": [str(each) for each in positions]})


def _post(url: str, value: Any) -> Any:
    body = orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as response:
        return orjson.loads(response.read() or b"null")
