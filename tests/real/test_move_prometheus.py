"""Prometheus scrapes an app with arms: what it knows is what was sent, whichever worker it asked and whoever died."""

from __future__ import annotations

import importlib.util
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from .move_serving import Reply, Site, site
from .prometheus import Prometheus, complaints, find, prometheus, samples

pytestmark = [pytest.mark.service, pytest.mark.real]
PATH = "/penstock/metrics"
ROUTES = ("GET /quote", "GET /cart")
SERVERS = {"uvicorn": ("app", ""), "gunicorn": ("application", "1")}
"""The app of each, and what `SITE_WSGI` is."""
_THREADS = ("--threads", "8")
Rows = dict[tuple[str, ...], float]


@contextmanager
def served(server: str, folder: Path, **environment: str) -> Iterator[Site]:
    for package in ("fastapi", "flask", server):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed: make test-real does that")
    find("prometheus")
    app, wsgi = SERVERS[server]
    options = ("--workers", "2", *(_THREADS if wsgi else ()))
    with site("metrics_site", server, folder, *options, app=app, SITE_WSGI=wsgi, **environment) as running:
        yield running


@pytest.fixture(params=SERVERS)
def shop(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Site]:
    with served(request.param, tmp_path) as running:
        yield running


@pytest.fixture
def told(shop: Site, tmp_path: Path) -> Iterator[Prometheus]:
    with prometheus(shop.port, PATH, tmp_path) as running:
        yield running


class Sent:
    """What a client knows of what it has sent."""

    def __init__(self, shop: Site) -> None:
        self._shop = shop
        self.ended: Counter[tuple[str, ...]] = Counter()
        self.errors: Counter[tuple[str, ...]] = Counter()
        self.shed: Counter[tuple[str, ...]] = Counter()
        self.pids: set[int] = set()

    def ask(self, route: str, number: int, **query: object) -> None:
        """One request of the user with this number."""
        target = route.removeprefix("GET ") + "?" + "&".join(f"{name}={value}" for name, value in query.items())
        self._count(route, self._shop.ask(target, X_User=str(number)))

    def ask_until(self, workers: int) -> None:
        """Until so many have answered; they need not have started when the first one has."""
        until = time.monotonic() + 30
        while len(self.pids) < workers:
            assert time.monotonic() < until, "not all workers answer"
            self.ask("GET /quote", self.ended.total())

    def ask_at_once(self, route: str, count: int, **query: object) -> None:
        with ThreadPoolExecutor(count) as clients:
            list(clients.map(lambda number: self.ask(route, number, **query), range(count)))

    def _count(self, route: str, reply: Reply) -> None:
        if "x-arm" not in reply.fields:
            assert (reply.status, reply.fields["retry-after"]) == (503, "1")
            self.shed[route, "async"] += 1
            return
        key = route, reply.fields["x-arm"]
        self.ended[key] += 1
        self.errors[key] += reply.status >= 500
        self.pids.add(reply.json["pid"])

    def rows(self, counts: Counter[tuple[str, ...]]) -> Rows:
        """As Prometheus has them: both arms of each route that was asked, at 0 too."""
        routes = {route for route, _ in self.ended}
        return {(route, arm): float(counts[route, arm]) for route in routes for arm in ("control", "async")}


def test_prometheus_knows_what_was_sent(shop: Site, told: Prometheus) -> None:
    sent = Sent(shop)
    for route in ROUTES:
        shop.gets(route, "async", 0.5)
        for number in range(60):
            sent.ask(route, number, status=(200, 404, 200, 200, 500 if number < 30 else 200)[number % 5])
        shop.gets(route, "async", 1.0)
        sent.ask_at_once(route, 8, seconds=0.5)
    sent.ask_until(workers=2)
    assert sum(sent.shed.values()) > 4
    told.comes_to("penstock_route_seconds_count", sent.rows(sent.ended))
    told.comes_to("penstock_route_errors_total", sent.rows(sent.errors))
    told.comes_to("penstock_route_shed_total", sent.rows(sent.shed))
    told.comes_to("penstock_route_in_flight", sent.rows(Counter()))
    told.comes_to('sum without (le) (penstock_route_seconds_bucket{le="+Inf"})', sent.rows(sent.ended))
    told.comes_to("penstock_arm_share", {(ROUTES[1], "async"): 1.0})


def test_counters_do_not_fall_when_a_worker_is_killed(shop: Site, told: Prometheus) -> None:
    sent = Sent(shop)
    shop.gets("GET /quote", "async", 0.5)
    for number in range(40):
        sent.ask("GET /quote", number, status=500 if number % 4 == 0 else 200)
    sent.ask_until(workers=2)
    told.comes_to("penstock_route_seconds_count", sent.rows(sent.ended))
    first = set(sent.pids)
    for pid in first:
        os.kill(pid, signal.SIGKILL)
        time.sleep(2.5)
        told.comes_to("penstock_route_errors_total", sent.rows(sent.errors))
    # Both were started again.
    sent.ask_until(workers=4)
    told.comes_to("penstock_route_seconds_count", sent.rows(sent.ended))
    told.comes_to("penstock_route_errors_total", sent.rows(sent.errors))
    for name in ("penstock_route_seconds_count", "penstock_route_errors_total", "penstock_route_seconds_sum"):
        assert set(told.query(f"resets({name}[5m])").values()) == {0.0}


def test_a_worker_that_has_served_nothing_tells_all_the_same(shop: Site, told: Prometheus) -> None:
    """Which worker is asked is chance; a share that is there at every second scrape is none."""
    shop.give("GET /quote", "async", 0.25)
    told.comes_to("penstock_arm_share", {("GET /quote", "async"): 0.25})


@pytest.mark.parametrize("server", SERVERS)
def test_workers_without_a_state_tell_the_sum_all_the_same(server: str, tmp_path: Path) -> None:
    """Nobody has named a state and none is there: what is scraped must not be now this worker's and now that one's."""
    with served(server, tmp_path, PENSTOCK_ARMS="") as shop:
        sent = Sent(shop)
        sent.ask_until(workers=2)
        shop.ask(PATH)
        time.sleep(0.5)
        name = 'penstock_route_seconds_count{arm="control",route="GET /quote"}'
        assert {samples(shop.ask(PATH).body)[name] for _ in range(20)} == {sent.ended.total()}


def test_promtool_has_no_complaints(shop: Site) -> None:
    sent = Sent(shop)
    shop.gets("GET /quote", "async", 1.0)
    sent.ask_at_once("GET /quote", 4, seconds=0.3)
    until = time.monotonic() + 20
    while b"penstock_arm_back_total{" not in (text := shop.ask(PATH).body):
        assert time.monotonic() < until, "it is not taken back"
        sent.ask("GET /quote", 1, status=500)
    assert complaints(text) == []
