"""`--metrics`: a real scrape of a real run."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from penstock.cli.metrics import metrics_watcher
from penstock.outbound.request_template import RequestTemplate
from penstock.outbound.send import SendJob, open_send
from penstock.rules.limits.rate import parse_limit
from penstock.runs.flow import Flow

pytestmark = pytest.mark.real


@pytest.fixture
def url() -> Iterator[str]:
    """A fault server that takes its time and fails for some items."""
    options = ["--latency", "0.05", "--lasting", "404=0.2", "--seed", "4"]
    process = subprocess.Popen(
        [sys.executable, "-m", "penstock.testing.fault_server", *options], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().decode().split()[-1]
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def scrape(port: int) -> dict[str, float]:
    """`name` or `name{label}` -> value."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(sample.labels.values())
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def test_a_run_is_seen_while_it_goes_on_and_at_its_end(url: str, tmp_path: Path) -> None:
    """Counters only grow from scrape to scrape, and end where the summary does; then the port is free."""
    source, summaries = tmp_path / "items.jsonl", list[dict[str, Any]]()
    source.write_text("".join(f'{{"n": {number}}}\n' for number in range(120)))
    flow = Flow(limits=(parse_limit("100/s"),))
    job = SendJob(source, tmp_path / "out.jsonl", RequestTemplate(url=f"{url}/n", method="POST"), flow)
    with metrics_watcher("127.0.0.1:0", "send") as watcher, open_send(job) as run:
        assert "penstock_attempts_total" not in scrape(watcher.port)

        def carry_out() -> None:
            watch = run.carry_out(lambda total, limiter: (watcher.under(limiter),))
            summaries.append(asyncio.run(watch))

        thread = threading.Thread(target=carry_out)
        thread.start()
        seen = []
        while thread.is_alive():
            seen.append(scrape(watcher.port))
            time.sleep(0.05)
        thread.join()
        seen.append(scrape(watcher.port))
        port = watcher.port
    running = [each for each in seen if 0 < each.get("penstock_attempts_total", 0) < 120]
    assert any(each["penstock_in_flight"] > 0 for each in running)
    for name in ("penstock_attempts_total", "penstock_items_total{ok}", "penstock_service_seconds_count"):
        values = [each.get(name, 0.0) for each in seen]
        assert values == sorted(values)
    summary, last = summaries[0], seen[-1]
    assert last["penstock_attempts_total"] == summary["attempts"]
    assert last["penstock_items_total{ok}"] == summary["ok"] < 120
    assert last["penstock_items_total{http_4xx}"] == summary["failed"] > 0
    assert last["penstock_service_seconds_bucket{+Inf}"] == last["penstock_service_seconds_count"] == 120
    assert last["penstock_limit_per_second{100/s}"] == 100
    assert last["penstock_limit_used_ratio{100/s}"] == pytest.approx(summary["limits"][0]["used"], abs=1e-4)
    assert last["penstock_in_flight"] == last["penstock_waiting"] == last["penstock_paused_seconds"] == 0
    assert last["penstock_in_flight_limit"] >= 1
    with pytest.raises(urllib.error.URLError):
        scrape(port)
