"""When the first byte of a range comes, of an answer that takes three seconds; and what cold ranges cost the app."""

from __future__ import annotations

import argparse
import contextlib
import http.client
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from .cache_servers import Served, get, nginx_cache, penstock, varnish, wait_for
from .processes import ROOT, SERVER_CORE, Child, MissingTool, scratch
from .report import Report
from .servers import free_port

SECONDS = 3.0
GOAL_SECONDS = 0.1
CLIENTS = 20
FORMS = ("bytes=0-", "bytes=5-9", "bytes=-500", "bytes=0-1,40-49", "bytes=9-2", "bytes=200000-")
_FACES = ("app", "penstock proxy", "CacheMiddleware", "Varnish", "nginx")
_OURS = ("penstock proxy", "CacheMiddleware")


def main(arguments: list[str]) -> bool:
    """Whether nobody waits for what can be streamed, and cold ranges are one call."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks cache_ranges", description=__doc__)
    parser.add_argument("--no-peers", action="store_true", help="without Varnish and nginx")
    options = parser.parse_args(arguments)
    report = Report("cache_ranges", "python -m benchmarks cache_ranges")
    faces = [face for face in _FACES if not (options.no_peers and face in {"Varnish", "nginx"})]
    first: dict[str, dict[str, list[float]]] = {}
    calls: dict[str, int | str] = {}
    with scratch() as folder:
        for face in faces:
            try:
                with _serving(face, folder) as (server, app):
                    first[face] = {form: _first_bytes(server.port, form) for form in FORMS}
                    calls[face] = _cold_ranges(server.port, app.port)
            except MissingTool as missing:
                calls[face] = f"FAILED: {missing}"
    _tables(report, faces, first, calls)
    for face in _OURS:
        late = max(max(first[face][form]) - max(first["app"][form]) for form in FORMS)
        report.goal(f"{face}: first byte after the app's", f"{GOAL_SECONDS} s", f"{late:.3f} s", late <= GOAL_SECONDS)
        report.goal(f"{face}: calls for {CLIENTS} cold ranges", "1", calls[face], calls[face] == 1)
    return report.finish()


def _tables(
    report: Report, faces: list[str], first: dict[str, dict[str, list[float]]], calls: dict[str, int | str]
) -> None:
    measured = [face for face in faces if face in first]
    rows = [(form, *(f"{max(first[face][form]):.3f} s" for face in measured)) for form in FORMS]
    report.table(
        f"100 KB in {SECONDS:g} s: the first byte of an answer, the later of cold, joined, with and without a length",
        ("Range", *measured),
        rows,
    )
    header = ("", *faces)
    report.table(
        f"{CLIENTS} clients, {CLIENTS} ranges, nothing stored", header, [("calls of the app", *calls.values())]
    )


def _first_bytes(port: int, form: str) -> list[float]:
    """Seconds to the first byte: of who asks first, and of who joins a plain GET; with a length and without."""
    found = []
    for kind in ("length", "chunked"):
        found.append(_first_byte(port, f"/{kind}/cold/{abs(hash(form))}", form))
        path = f"/{kind}/joined/{abs(hash(form))}"
        plain = threading.Thread(target=_first_byte, args=(port, path, None), kwargs={"wait": 1.0})
        plain.start()
        time.sleep(0.3)
        found.append(_first_byte(port, path, form))
        plain.join()
    return found


def _first_byte(port: int, path: str, form: str | None, *, wait: float = 0.0) -> float:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    began = time.perf_counter()
    connection.request("GET", path, headers={} if form is None else {"Range": form})
    response = connection.getresponse()
    took = time.perf_counter() - began
    time.sleep(wait)
    if response.status not in (200, 206, 416):
        raise RuntimeError(f"{response.status} to {form}")
    connection.close()
    return took


def _cold_ranges(port: int, app_port: int) -> int:
    before = int(get(app_port, "/_count")[1])
    asked = [
        threading.Thread(target=_first_byte, args=(port, "/quick/cold", f"bytes={n * 500}-{n * 500 + 99}"))
        for n in range(CLIENTS)
    ]
    for each in asked:
        each.start()
    for each in asked:
        each.join()
    return int(get(app_port, "/_count")[1]) - before


@contextlib.contextmanager
def _serving(face: str, folder: Path) -> Iterator[tuple[Served, Served]]:
    """Whom to ask, and who counts."""
    own = folder / face.replace(" ", "-")
    own.mkdir()
    with _app(own, "cached" if face == "CacheMiddleware" else "bare") as app:
        starters = {"penstock proxy": penstock, "Varnish": varnish, "nginx": nginx_cache}
        if face not in starters:
            yield app, app
            return
        with starters[face](own, app.port) as server:
            yield server, app


@contextlib.contextmanager
def _app(folder: Path, name: str) -> Iterator[Served]:
    port = free_port()
    argv: list[str | Path] = [sys.executable, "-m", "uvicorn", f"benchmarks.cache_ranges_app:{name}"]
    argv += ["--app-dir", ROOT, "--log-level", "warning", "--no-access-log", "--lifespan", "off", "--port", str(port)]
    with Child(argv, core=SERVER_CORE, folder=folder, name=name) as child:
        wait_for(child, port, name)
        yield Served(name, port, child)


if __name__ == "__main__":
    sys.exit(0 if main(sys.argv[1:]) else 1)
