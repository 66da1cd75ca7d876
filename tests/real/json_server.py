"""A real json-server from npm, over a JSON file that is made here: the version that everybody has, and the next."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from .serving import cache, free_port, serving

STABLE, NEXT = "0.17.4", "1.0.0-beta.15"
"""They page differently: 0.x answers with a list, headers and empty pages beyond the end; 1.x with an object, and with
its last page again for whatever lies beyond the end."""


def json_server(version: str) -> Path:
    """The program, installed on first use; the test is skipped where there is no npm."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("json-server needs npm, which is not installed")
    home = cache(f"json-server-{version}")
    if not (home / "ready").exists():
        home.mkdir(parents=True, exist_ok=True)
        options = ["--silent", "--no-audit", "--no-fund", "--prefix", str(home)]
        subprocess.run([npm, "install", *options, f"json-server@{version}"], check=True)
        (home / "ready").touch()
    return home / "node_modules" / ".bin" / "json-server"


def orders(count: int) -> list[dict[str, Any]]:
    """The rows; ids are texts, as 1.x wants them."""
    return [{"id": f"n{n}", "customer": f"Zoë {n % 50}", "price": n / 8, "tags": [n % 3]} for n in range(count)]


@contextmanager
def json_server_of(version: str, folder: Path, count: int) -> Iterator[str]:
    """Serve `count` orders on a free port; yields their URL."""
    data = folder / "data.json"
    data.write_bytes(orjson.dumps({"orders": orders(count)}))
    port = free_port()
    command: list[str | Path] = [json_server(version), "--host", "127.0.0.1", "--port", str(port), data]
    with serving(command, port, "/orders?_page=1", folder / "json-server.log") as root:
        yield f"{root}/orders"
