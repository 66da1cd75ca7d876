"""Latencies are drawn as asked; arrivals survive on disk."""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest

from penstock.testing import (
    ArrivalsLog,
    Latency,
    constant,
    exponential,
    lognormal,
    parse_latency,
    read_arrivals,
    uniform,
)
from penstock.testing.arrivals import BLOCK


def draw(latency: Latency, n: int = 5_000) -> list[float]:
    sample = latency.sampler(1)
    return [sample() for _ in range(n)]


def test_distributions_have_their_shape() -> None:
    assert set(draw(constant(0.25))) == {0.25}
    even = draw(uniform(8, 30))
    assert 8 <= min(even) < 8.1
    assert 29.9 < max(even) <= 30
    assert 0.09 < statistics.median(draw(lognormal(0.1, 0.5))) < 0.11
    assert 0.28 < statistics.mean(draw(exponential(0.3))) < 0.32
    assert max(draw(lognormal(0.1, 2, longest=1.5))) == 1.5
    assert max(draw(exponential(1, longest=2))) == 2


def test_the_same_seed_draws_the_same() -> None:
    latency = uniform(0, 1)
    first, second, other = (latency.sampler(seed) for seed in (1, 1, 2))
    assert first() == second() != other()


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("0", "constant:0"),
        ("0.2", "constant:0.2"),
        ("uniform:8:30", "uniform:8:30"),
        ("lognormal:0.1", "lognormal:0.1:0.5"),
        ("lognormal:0.1:1", "lognormal:0.1:1"),
        ("exponential:3", "exponential:3"),
    ],
)
def test_latencies_from_text(text: str, means: str) -> None:
    assert str(parse_latency(text)) == means
    assert parse_latency(text).is_zero == (text == "0")


@pytest.mark.parametrize(
    "text",
    [
        *("", ":", "-1", "nan", "fast", "uniform", "uniform:8", "uniform:30:8", "uniform:a:b", "gauss:1:2"),
        *("constant:1:2", "lognormal:0", "exponential:0", "lognormal:1:2:3", "uniform:-1:2"),
    ],
)
def test_what_is_no_latency_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="latency"):
        parse_latency(text)


def test_arrivals_come_back_in_order(tmp_path: Path) -> None:
    path = tmp_path / "arrivals.bin"
    times = [n / 8 for n in range(BLOCK + 10)]
    with ArrivalsLog(path) as log:
        for time in times:
            log.append(time)
        # A full block is on disk already.
        assert len(read_arrivals(path)) == BLOCK
        log.flush()
        assert read_arrivals(path).tolist() == times
    log.close()
    assert log.count == len(times)
    with ArrivalsLog(path) as log:
        log.append(1e9)
    assert read_arrivals(path).tolist() == [*times, 1e9]


def test_half_an_arrival_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "arrivals.bin"
    with ArrivalsLog(path) as log:
        log.append(1.5)
    path.write_bytes(path.read_bytes() + b"\1\2\3")
    assert read_arrivals(path).tolist() == [1.5]
