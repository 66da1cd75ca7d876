"""`wrk` against a cache: the same request again and again, heads that all differ, unique URLs, and a mix."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

from .processes import need, run

# Whole requests, made beforehand but for a number: wrk has the other core to itself and must not be the bottleneck.
_VARIED = """
local agents = {}
for version = 100, 163 do
  agents[#agents + 1] = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/" .. version ..
    ".0.0.0 Safari/537.36"
  agents[#agents + 1] = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:" .. version ..
    ".0) Gecko/20100101 Firefox/" .. version .. ".0"
end
local languages = {"en-GB,en;q=0.9", "de-DE,de;q=0.9,en;q=0.7", "fr-FR,fr;q=0.8", "en-US,en;q=0.5"}
local heads = {}
for _, agent in ipairs(agents) do
  for _, language in ipairs(languages) do
    heads[#heads + 1] = "GET /hot HTTP/1.1\\r\\nHost: 127.0.0.1:PORT\\r\\nUser-Agent: " .. agent ..
      "\\r\\nAccept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\\r\\nAccept-Language: " ..
      language .. "\\r\\nAccept-Encoding: gzip, deflate, br\\r\\nConnection: keep-alive\\r\\nCookie: _ga=GA1.2."
  end
end
local number = math.floor(SEED)
local count = #heads
function request()
  number = number + 1
  return heads[number % count + 1] .. number .. ".1764206573; theme=dark\\r\\n\\r\\n"
end
"""

_UNIQUE = """
local number = math.floor(SEED)
function request()
  number = number + 1
  return "GET /unique/" .. number .. " HTTP/1.1\\r\\nHost: 127.0.0.1:PORT\\r\\n\\r\\n"
end
"""

# Two thirds of the requests are for one of 1,000 hot URLs, every third is for one that nobody asked for before.
_MIXED = """
local number = math.floor(SEED)
function request()
  number = number + 1
  if number % 3 == 0 then
    return "GET /unique/" .. number .. " HTTP/1.1\\r\\nHost: 127.0.0.1:PORT\\r\\n\\r\\n"
  end
  return "GET /hot/" .. number % 1000 .. " HTTP/1.1\\r\\nHost: 127.0.0.1:PORT\\r\\n\\r\\n"
end
"""

# One of 1,000 hot URLs after the other.
_URLS = """
local number = math.floor(SEED)
function request()
  number = number + 1
  return "GET /hot/" .. number % 1000 .. " HTTP/1.1\\r\\nHost: 127.0.0.1:PORT\\r\\n\\r\\n"
end
"""

SCRIPTS = {"urls": _URLS, "same": None, "varied": _VARIED, "unique": _UNIQUE, "mixed": _MIXED}
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}


@dataclass(frozen=True, slots=True)
class Wrk:
    """One run. Times in seconds."""

    rate: float
    requests: int
    p50: float
    p99: float
    errors: int
    """Other statuses than 2xx and 3xx, and all that went wrong with sockets."""


class Seeds:
    """Numbers that no run has used, so that what is to be unique is."""

    def __init__(self) -> None:
        self._next = 0

    def take(self) -> int:
        """The first of ten million."""
        self._next += 10_000_000
        return self._next


SEEDS = Seeds()


def wrk(folder: Path, port: int, core: int, *, kind: str = "same", seconds: float = 3.0, connections: int = 64) -> Wrk:
    """One thread of wrk on `core`. `kind`: a name in SCRIPTS."""
    program = need("wrk", "wrk")
    argv: list[str | Path] = [program, "-t1", f"-c{connections}", f"-d{seconds:g}s", "--latency", "--timeout", "10s"]
    script = SCRIPTS[kind]
    if script is not None:
        file = folder / f"{kind}-{port}.lua"
        file.write_text(script.replace("PORT", str(port)).replace("SEED", str(SEEDS.take())))
        argv += ["-s", file]
    ended = run([*argv, f"http://127.0.0.1:{port}/hot"], folder=folder, timeout=seconds + 30, core=core, name="wrk")
    if ended.code:
        raise RuntimeError(f"wrk ended with {ended.code}: {ended.stderr[-500:]}")
    return parse(ended.stdout)


def parse(text: str) -> Wrk:
    """What wrk says. Raises RuntimeError where it says something else."""
    rate, requests = re.search(r"Requests/sec:\s+([\d.]+)", text), re.search(r"(\d+) requests in", text)
    if rate is None or requests is None:
        raise RuntimeError(f"not what wrk says: {text[-500:]}")
    errors = sum(int(number) for number in re.findall(r"Non-2xx or 3xx responses: (\d+)", text))
    sockets = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    if sockets is not None:
        errors += sum(int(number) for number in sockets.groups())
    return Wrk(float(rate[1]), int(requests[1]), _percentile(text, 50), _percentile(text, 99), errors)


def _percentile(text: str, percent: int) -> float:
    found = re.search(rf"^\s+{percent}%\s+([\d.]+)(us|ms|s|m)$", text, re.MULTILINE)
    return float(found[1]) * _UNITS[found[2]] if found else float("nan")


def milliseconds(seconds: float) -> str:
    """For a table; "-" for what wrk could not measure because next to nothing was answered."""
    return "-" if math.isnan(seconds) else f"{seconds * 1000:,.2f}"
