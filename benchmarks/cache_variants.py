"""One URL that varies: with 300 languages, with six spellings of Accept-Encoding as well, or with the cookie."""

from __future__ import annotations

import argparse
import contextlib
import http.client
import random
import sys
from collections.abc import Iterator
from pathlib import Path

from .cache_cold import count
from .cache_servers import Served, cache_versions, nginx_cache, penstock, varnish, wait_for
from .cache_variants_origin import CODINGS, chosen
from .processes import CLIENT_CORE, Child, MissingTool, scratch
from .report import Report
from .servers import free_port

_LANGUAGES = 300
_USERS = 1000
_ENCODINGS = {
    "gzip, deflate, br, zstd": 50,
    "gzip, deflate, br": 20,
    "gzip, deflate": 12,
    "gzip": 8,
    "gzip;q=1.0, deflate;q=0.6, identity;q=0.3": 5,
    "identity": 5,
}
"""As browsers, libraries and bots send them, and how many of a hundred do."""
_CACHES = {"penstock": penstock, "varnish": varnish, "nginx": nginx_cache}
Fields = dict[str, str]


def main(arguments: list[str]) -> bool:
    """Whether languages hit in 85 % and those with codings in 80 %, or what is possible; and all answers are right."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks cache_variants")
    parser.add_argument("--requests", type=int, default=2000)
    options = parser.parse_args(arguments)
    report = Report("cache_variants", "python -m benchmarks cache_variants")
    report.facts |= cache_versions()
    shares: dict[str, dict[str, str]] = {}
    wrong = 0
    for name in _CACHES:
        try:
            shares[name], errors = _play(name, options.requests)
        except MissingTool as missing:
            report.note(f"FAILED: {name}: {missing}")
            continue
        wrong += errors if name == "penstock" else 0
    possible = {load: f"{_possible(number, options.requests):.0f} %" for number, load in enumerate(_LOADS)}
    rows = [(load, *(shares[name][load] for name in shares), possible[load]) for load in _LOADS]
    report.table(f"hits, of {options.requests:,} requests for one URL", ("load", *shares, "one copy a body"), rows)
    for load, least in ((_LOADS[0], 85), (_LOADS[1], 80), (_LOADS[2], float(possible[_LOADS[2]].split()[0]) - 1)):
        share = shares["penstock"][load]
        report.goal(load, f"at least {least:.0f} %", share, float(share.split()[0]) >= least)
    report.goal("answers of penstock for another language, cookie or coding than was asked for", "0", wrong, not wrong)
    return report.finish()


_LOADS = (
    "Accept-Language, 300 values by Zipf",
    "and six Accept-Encoding; the app has gzip",
    "and six Accept-Encoding; the app has gzip and br",
    "Cookie, 30 % of requests with one of 1,000 users",
    "Cookie, 80 % of requests with one of 1,000 users",
)


def _play(name: str, requests: int) -> tuple[dict[str, str], int]:
    """The share of hits for each load, and how many answers were wrong."""
    found, wrong = {}, 0
    for number, load in enumerate(_LOADS):
        with scratch() as folder, _origin(folder) as source, _CACHES[name](folder, source.port) as server:
            before = count(source)
            path, sent = _load(number, requests)
            asked_for_users, errors = _ask(server, source, path, sent)
            wrong += errors
            misses = count(source) - before
            found[load] = f"{100 * (1 - misses / requests):.0f} %"
            if path == "/cookie":
                users = sum("Cookie" in fields for fields in sent)
                own = 100 * (1 - asked_for_users / users)
                strangers = 100 * (1 - (misses - asked_for_users) / (requests - users))
                found[load] += f" (users {own:.0f} %, others {strangers:.1f} %)"
    return found, wrong


def _load(number: int, requests: int) -> tuple[str, list[Fields]]:
    chance = random.Random(number)
    if number >= 3:
        logged_in = 0.3 if number == 3 else 0.8
        users = [f"sessionid=user-{chance.randrange(_USERS)}" for _ in range(requests)]
        return "/cookie", [{"Cookie": user} if chance.random() < logged_in else {} for user in users]
    weights = [1 / rank for rank in range(1, _LANGUAGES + 1)]
    languages = chance.choices([f"x{rank}-XX,x{rank};q=0.8" for rank in range(_LANGUAGES)], weights, k=requests)
    if number == 0:
        return "/language", [{"Accept-Language": language} for language in languages]
    encodings = chance.choices([*_ENCODINGS], [*_ENCODINGS.values()], k=requests)
    sent = [{"Accept-Language": a, "Accept-Encoding": b} for a, b in zip(languages, encodings, strict=True)]
    return f"/both/{'gzip' if number == 1 else 'brotli'}", sent


def _possible(number: int, requests: int) -> float:
    """The share of hits if each body is fetched once, by whoever comes first."""
    path, sent = _load(number, requests)
    codings = CODINGS.get(path.rpartition("/")[2], ())
    bodies = {
        (fields.get("Cookie"), fields.get("Accept-Language"), chosen(fields.get("Accept-Encoding", ""), codings))
        for fields in sent
    }
    return 100 * (1 - len(bodies) / requests)


def _ask(server: Served, source: Served, path: str, sent: list[Fields]) -> tuple[int, int]:
    """How often the app was asked for a user's page, and how many answers were for somebody else."""
    for_users = wrong = 0
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    for fields in sent:
        before = count(source) if "Cookie" in fields else 0
        connection.putrequest("GET", path, skip_accept_encoding=True)
        for name, value in fields.items():
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        answer.read()
        coding = answer.headers.get("Content-Encoding")
        wrong += answer.headers["X-For"] != (fields.get("Cookie") or fields.get("Accept-Language", ""))
        wrong += coding is not None and coding not in fields.get("Accept-Encoding", "")
        for_users += count(source) - before if "Cookie" in fields else 0
    connection.close()
    return for_users, wrong


@contextlib.contextmanager
def _origin(folder: Path) -> Iterator[Served]:
    port = free_port()
    argv: list[str | Path] = [sys.executable, "-m", "benchmarks.cache_variants_origin", "--port", str(port)]
    with Child(argv, core=CLIENT_CORE, folder=folder, name="varying") as child:
        wait_for(child, port, "varying")
        yield Served("varying", port, child)
