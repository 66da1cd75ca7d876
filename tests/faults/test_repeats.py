"""Every send has a permit: what the server counts is what the command says it sent, whatever breaks."""

from __future__ import annotations

from pathlib import Path

import pytest

from .processes import fault_server, run_send, write_items

pytestmark = pytest.mark.real


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_server_counts_no_more_than_was_sent(tmp_path: Path, method: str) -> None:
    """Also of idempotent requests on kept connections that break: no repeat goes past the limit."""
    faults = [each for kind in ("reset", "close", "truncated") for each in ("--fault", f"{kind}=0.05")]
    with fault_server(tmp_path, *faults, "--limit", "200/1s", "--seed", "2") as server:
        source, out = write_items(tmp_path / "items.jsonl", 400), tmp_path / "out.jsonl"
        options = ["--method", method, "--retry-on", "transient", "--limit", "200/s", "--guard", "100ms", "--json"]
        ended = run_send(source, "--url", f"{server.url}/{{n}}", "--out", out, *options)
        assert ended.code == 0, ended
        statistics = server.statistics()
    assert sum(statistics["injected"].values()) > 10
    assert statistics["requests"] == ended.summary["attempts"]
    assert statistics["limit_violations"] == 0
