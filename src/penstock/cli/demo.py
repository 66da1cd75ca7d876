"""`penstock demo`: the main job in about a minute, on a server of its own, with a kill -9 in the middle."""

from __future__ import annotations

import contextlib
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import orjson

from ..clock import SYSTEM_CLOCK
from ..errors import OutputError, UsageError

DIM = 128
PLANTED = ("deleted", "perturbed", "swapped", "nan", "empty", "deleted", "perturbed", "swapped", "deleted", "perturbed")
_FAULTS = ("500=0.01", "reset=0.004", "truncated=0.003", "garbage_json=0.003")
_START_SECONDS = 30.0
_SEED = 7


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("demo-out"), show_default=True, help="A folder.")
@click.option("--vectors", type=click.IntRange(min=1000), default=24_000, show_default=True, help="How many.")
@click.option("--rate", type=click.IntRange(min=10), default=600, show_default=True, help="The limit per second.")
def demo(out: Path, vectors: int, rate: int) -> int:
    """Take a census of a faulty, limited search API, be killed half-way, go on, and check the result.

    Everything happens on this machine: the server listens on loopback, and keeps a log of every arrival.
    """
    try:
        import numpy as np  # noqa: F401
    except ImportError:
        raise UsageError("penstock demo needs numpy: pip install 'penstock[vectors]'") from None
    if out.exists() and any(out.iterdir()) and not (out / "vectors.bin").exists():
        raise OutputError(f"--out {out} holds something else; give a new folder")
    out.mkdir(parents=True, exist_ok=True)
    plant = _prepare(out, vectors)
    with tempfile.TemporaryDirectory() as folder, _server(out, rate, Path(folder)) as url:
        command = _command(out, url, rate)
        _tell(f"The command, which you could have typed:\n\n  {shlex.join(['penstock', *command])}\n")
        killed_at = _run_and_kill(command, out / "census", vectors)
        _tell(f"\nKilled with kill -9 at {killed_at:,} of {vectors:,}. The same command again:\n")
        code = _run(command).wait()
        summary = _finish(out, url)
    return _judge(out, summary, plant, vectors, rate, code)


def _prepare(out: Path, vectors: int) -> dict[int, str]:
    from ..testing import write_vectors

    _tell(f"Writing {vectors:,} vectors of {DIM} numbers, and planting {len(PLANTED)} wrong answers in the server.")
    write_vectors(out / "vectors.bin", vectors, DIM, _SEED)
    step = vectors // len(PLANTED)
    plant = {number * step + step // 2: kind for number, kind in enumerate(PLANTED)}
    (out / "plant.json").write_bytes(orjson.dumps({str(row): kind for row, kind in plant.items()}))
    for name in ("arrivals.bin", "server.json"):
        (out / name).unlink(missing_ok=True)
    _clear_census(out / "census")
    return plant


def _clear_census(census: Path) -> None:
    if census.exists():
        for each in census.iterdir():
            each.unlink()


@contextlib.contextmanager
def _server(out: Path, rate: int, folder: Path) -> Iterator[str]:
    """The fault server as a process; yields its URL."""
    port_file = folder / "port"
    command = [sys.executable, "-m", "penstock.testing.fault_server", "--port-file", str(port_file)]
    command += ["--oracle", str(out / "vectors.bin"), "--dim", str(DIM), "--plant", str(out / "plant.json")]
    command += ["--limit", f"{rate}/1s", "--limiter", "sliding", "--latency", "uniform:0.02:0.2", "--seed", str(_SEED)]
    command += ["--arrivals", str(out / "arrivals.bin"), "--stats-out", str(out / "server.json")]
    for fault in _FAULTS:
        command += ["--fault", fault]
    _tell(
        f"Starting a search API that allows {rate}/s, judged by a sliding window, takes 20 to 200 ms an answer, and "
        f"fails now and then ({', '.join(_FAULTS)})."
    )
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)  # noqa: S603  # our own module
    try:
        yield f"http://127.0.0.1:{_wait_for_port(process, port_file)}/search"
    finally:
        process.terminate()
        process.wait()


def _wait_for_port(process: subprocess.Popen[bytes], port_file: Path) -> int:
    until = SYSTEM_CLOCK.now() + _START_SECONDS
    while SYSTEM_CLOCK.now() < until and process.poll() is None:
        if port_file.exists() and (text := port_file.read_text().strip()):
            return int(text)
        _pause(0.05)
    raise UsageError("the demo's server did not start")


def _command(out: Path, url: str, rate: int) -> list[str]:
    return [
        "check",
        str(out / "vectors.bin"),
        "--dim",
        str(DIM),
        "--url",
        url,
        "--id",
        "id",
        "--out",
        str(out / "census"),
        "--limit",
        f"{rate}/s",
    ]


def _run(command: list[str]) -> subprocess.Popen[bytes]:
    start = [sys.executable, "-c", "from penstock.cli.main import main; main()"]
    return subprocess.Popen([*start, *command])  # noqa: S603  # our own command


def _run_and_kill(command: list[str], census: Path, vectors: int) -> int:
    """Start the census and kill it once half of the vectors are done; returns how many were."""
    process = _run(command)
    done = 0
    try:
        while process.poll() is None and done < vectors // 2:
            _pause(0.2)
            done = _items_so_far(census / "series.jsonl")
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    return done


def _items_so_far(series: Path) -> int:
    if not series.exists():
        return 0
    lines = series.read_bytes().splitlines()
    try:
        return int(orjson.loads(lines[-1])["items"]) if lines else 0
    except orjson.JSONDecodeError:
        return 0


def _finish(out: Path, url: str) -> dict[str, Any]:
    summary: dict[str, Any] = orjson.loads((out / "census" / "summary.json").read_bytes())
    return summary


def _judge(out: Path, summary: dict[str, Any], plant: dict[int, str], vectors: int, rate: int, code: int) -> int:
    """Compare what penstock says with what the server knows. Exit code 0 if all agrees."""
    from ..testing import most_in_any_window, read_arrivals

    server = orjson.loads((out / "server.json").read_bytes())
    arrivals = read_arrivals(out / "arrivals.bin")
    findings = [orjson.loads(line) for line in (out / "census" / "findings.jsonl").read_bytes().splitlines()]
    wrong = {each["position"] for each in findings if each["verdict"] != "FAILED"}
    most = most_in_any_window(arrivals, 1.0)
    checks = [
        (f"{summary['items']:,} of {vectors:,} vectors have exactly one finding", summary["items"] == vectors),
        (f"{len(wrong & plant.keys())} of {len(plant)} planted wrong answers found", wrong >= plant.keys()),
        (f"{len(wrong - plant.keys())} false alarms", not wrong - plant.keys()),
        (f"at most {most:,} arrivals in any second, where {rate:,} were allowed, the kill included", most <= rate),
        (f"{server['limit_violations']:,} requests refused for being over the limit", not server["limit_violations"]),
        (f"{summary['failed']:,} calls failed for good", not summary["failed"]),
    ]
    injected = sum(server["injected"].values())
    _tell(f"\nJudged by the server's own log ({len(arrivals):,} arrivals, {injected:,} faults injected):\n")
    for text, fine in checks:
        _tell(f"  {'ok ' if fine else 'NOT'}  {text}")
    _tell(
        f"""
What to look at:  {out}/census/findings.jsonl  the vectors that were not found as they should be
                  {out}/census/summary.json    the figures
What to try next, with the command of this environment ({Path(sys.executable).parent}):
                  penstock send --help         one call per record of your own .jsonl or .csv
                  penstock check --help        a census of your own search API
"""
    )
    return 0 if all(fine for _, fine in checks) and code == 1 else 1


def _tell(text: str) -> None:
    click.echo(text, err=True)


def _pause(seconds: float) -> None:
    import time

    time.sleep(seconds)
