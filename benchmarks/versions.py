"""What was measured, and on what: a figure without this says nothing."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGES = (
    "uvloop",
    "httptools",
    "orjson",
    "numpy",
    "aiohttp",
    "httpx",
    "httpx2",
    "requests",
    "aiometer",
    "aiolimiter",
    "dlt",
    "uvicorn",
    "granian",
)


def versions() -> dict[str, str]:
    """Name to version; `missing` where it is not there."""
    from penstock import __version__

    found = {"penstock": f"{__version__} {_commit()}", "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "missing"
    found["nginx"] = _says(["nginx", "-v"], r"nginx/(\S+)")
    found["wrk"] = _says(["wrk", "-v"], r"wrk (\S+)")
    found["hey"] = _says(["dpkg-query", "-W", "-f", "${Version}", "hey"], r"(\S+)")
    found["kernel"] = platform.release()
    found["cpu"] = f"{_cpu()} x {os.cpu_count()}"
    found["load at start"] = f"{os.getloadavg()[0]:.2f}"
    return found


def _cpu() -> str:
    try:
        match = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    except OSError:
        match = None
    return match[1].strip() if match else platform.machine()


def _commit() -> str:
    root = str(Path(__file__).resolve().parent.parent)
    commit = _says(["git", "-C", root, "rev-parse", "--short", "HEAD"], r"(\S+)")
    changed = _says(["git", "-C", root, "status", "--porcelain", "--", "src"], r"(\S)")
    return f"({commit}{', with changes' if changed != 'missing' else ''})"


def _says(argv: list[str], pattern: str) -> str:
    """What a command says of itself. Some end with 1 after that, so the status does not count."""
    if shutil.which(argv[0]) is None:
        return "missing"
    ended = subprocess.run(argv, capture_output=True, text=True, timeout=10, check=False)
    match = re.search(pattern, ended.stdout + ended.stderr)
    return match[1] if match else "missing"
