"""A Prometheus that nobody here wrote: how tests start it, what it has scraped, and what promtool says of a text."""

from __future__ import annotations

import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from .serving import free_port, serving

_SCRAPES = """
global:
  scrape_interval: 1s
scrape_configs:
  - job_name: site
    metrics_path: {path}
    static_configs:
      - targets: ["127.0.0.1:{port}"]
"""


def find(program: str) -> str:
    """Where it is; skips the test, with what to do, where there is none."""
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"no {program} here: install it (Debian: apt-get install prometheus)")
    return found


@dataclass(frozen=True)
class Prometheus:
    """One that runs."""

    root: str

    def query(self, expression: str) -> dict[tuple[str, ...], float]:
        """What an expression comes to now, by the values of `route`, `arm`, and whatever else each row has."""
        target = f"{self.root}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"
        with urllib.request.urlopen(target, timeout=10) as answer:
            rows = orjson.loads(answer.read())["data"]["result"]
        return {_labels(row["metric"]): float(row["value"][1]) for row in rows}

    def comes_to(self, expression: str, wanted: dict[tuple[str, ...], float], seconds: float = 20.0) -> None:
        """Wait until it does; it is scraped each second."""
        until = time.monotonic() + seconds
        while (found := self.query(expression)) != wanted and time.monotonic() < until:
            time.sleep(0.2)
        assert found == wanted, expression


def _labels(metric: dict[str, str]) -> tuple[str, ...]:
    own = {name: value for name, value in metric.items() if name not in ("__name__", "instance", "job")}
    first = [own.pop(name) for name in ("route", "arm") if name in own]
    return (*first, *(own[name] for name in sorted(own)))


@contextmanager
def prometheus(port: int, path: str, folder: Path) -> Iterator[Prometheus]:
    """One that scrapes `path` of the server at `port`; it keeps its data in `folder`."""
    program, own_port, configuration = find("prometheus"), free_port(), folder / "prometheus.yml"
    configuration.write_text(_SCRAPES.format(path=path, port=port))
    command = [program, f"--config.file={configuration}", f"--storage.tsdb.path={folder / 'prometheus'}"]
    command += [f"--web.listen-address=127.0.0.1:{own_port}", "--log.level=warn"]
    with serving(command, own_port, "/-/ready", folder / "prometheus.log") as root:
        yield Prometheus(root)


def complaints(text: bytes) -> list[str]:
    """What `promtool check metrics` says of it."""
    done = subprocess.run([find("promtool"), "check", "metrics"], input=text, capture_output=True, timeout=60)
    lines = (done.stdout + done.stderr).decode().splitlines()
    assert lines or done.returncode == 0
    return lines


def samples(text: bytes) -> dict[str, Any]:
    """The values of a text, by name and labels as they stand there."""
    lines = (line for line in text.decode().splitlines() if line and not line.startswith("#"))
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}
