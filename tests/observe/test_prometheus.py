"""What Prometheus is told: legal expositions, cumulative buckets, addresses that can and cannot be had."""

from __future__ import annotations

import socket
import sys
import urllib.error
import urllib.request

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

import penstock
from penstock.errors import UsageError
from penstock.observe.exposition import Family
from penstock.observe.histogram import Histogram
from penstock.observe.prometheus import RunCollector, parse_address, serve

BOUNDS = (0.005, 0.25, 1.0, 60.0, 300.0)
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def samples(text: str) -> Samples:
    """(name, labels) -> value of every sample; a series that is there twice is an error."""
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation
        for sample in family.samples:
            name = (sample.name, tuple(sorted(sample.labels.items())))
            assert name not in found, name
            found[name] = sample.value
    return found


def exposition(families: list[Family] | None) -> Samples:
    """What a scrape would read."""
    registry = CollectorRegistry()
    registry.register(RunCollector(lambda: families, "send"))
    return samples(generate_latest(registry).decode())


def test_before_the_run_there_is_only_what_runs() -> None:
    """A scrape that comes early is answered, and is not told of zeros that nobody counted."""
    found = exposition(None)
    assert found == {("penstock_run_info", (("command", "send"), ("version", penstock.__version__))): 1}


@given(st.lists(st.floats(0, 70_000), max_size=60))
def test_buckets_are_cumulative_and_hold_what_was_added(durations: list[float]) -> None:
    """Each `le` counts what is at most that long, but for durations within 0.8 % of it; +Inf counts all."""
    histogram = Histogram()
    for duration in durations:
        histogram.add(duration)
    found = exposition([Family("penstock_x_seconds", "Of x.", "histogram", durations=histogram, bounds=BOUNDS)])
    buckets = {
        dict(labels)["le"]: value for (name, labels), value in found.items() if name.startswith("penstock_x") and labels
    }
    assert len(buckets) == len(BOUNDS) + 1
    for bound in BOUNDS:
        least = sum(duration < bound * 0.992 for duration in durations)
        most = sum(duration <= bound * 1.008 for duration in durations)
        assert least <= buckets[str(bound)] <= most
    assert list(buckets.values()) == sorted(buckets.values())
    assert buckets["+Inf"] == found["penstock_x_seconds_count", ()] == len(durations)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("127.0.0.1:9464", ("127.0.0.1", 9464)),
        ("localhost:1", ("localhost", 1)),
        ("9464", ("127.0.0.1", 9464)),
        ("[::1]:9464", ("::1", 9464)),
        ("0.0.0.0:65535", ("0.0.0.0", 65535)),
    ],
)
def test_addresses_that_are_understood(text: str, wanted: tuple[str, int]) -> None:
    """A host and a port, or a port of this machine alone."""
    assert parse_address(text) == wanted


@pytest.mark.parametrize(
    "text", ["", "host", "host:", ":9464", "::1:9464", "1.2.3.4:65536", "http://a:1", "a b:1", "a:-1"]
)
def test_addresses_that_are_not(text: str) -> None:
    """One line that shows how to write it."""
    with pytest.raises(UsageError, match=r"write 127\.0\.0\.1:9464"):
        parse_address(text)


def test_a_missing_library_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without prometheus_client it says what to install."""
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(UsageError, match=r"pip install 'penstock-http\[prometheus\]'"):
        serve("127.0.0.1:0", lambda: None)


@pytest.mark.real
def test_it_answers_until_it_is_closed() -> None:
    """Each scrape reads anew; afterwards nobody listens and the port can be had again."""
    readings = iter([[Family("penstock_x", "Calls.", "counter", {"": count})] for count in (1, 2)])
    with serve("127.0.0.1:0", lambda: next(readings)) as server:
        url = f"http://127.0.0.1:{server.port}/metrics"
        texts = []
        for _ in range(2):
            with urllib.request.urlopen(url, timeout=10) as answer:
                texts.append(samples(answer.read().decode()))
    assert [text["penstock_x_total", ()] for text in texts] == [1, 2]
    assert ("process_cpu_seconds_total", ()) in texts[0] or sys.platform != "linux"
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(url, timeout=10)
    with serve(f"127.0.0.1:{server.port}", lambda: None):
        pass


@pytest.mark.real
def test_a_port_that_is_taken_is_said() -> None:
    """The address and the reason in one line."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(UsageError, match=f"cannot be served at {address}: Address already in use"):
            serve(address, lambda: None)
    with pytest.raises(UsageError, match=r"cannot be served at host\.invalid:1"):
        serve("host.invalid:1", lambda: None)
