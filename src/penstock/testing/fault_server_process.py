"""The fault server as a process of its own: its command line, and its orderly end."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from .fault_server import FaultServer
from .fault_service import Answer, Respond
from .faults import KINDS, FaultPlan
from .latency import parse_latency
from .limiters import Limiter, make_limiter
from .oracle import Oracle
from .search_shapes import SHAPES


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT. Returns the exit status; a wrong option ends with 2."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        server = make_server(options, answer=_oracle(options))
    except (ValueError, OSError) as error:
        parser.error(str(error))
    serve(server, options)
    return 0


def serve(server: FaultServer, options: argparse.Namespace, more: Callable[[], Mapping[str, Any]] = dict) -> None:
    """Serve until SIGTERM or SIGINT; `more` is added to the counters in --stats-out."""
    # What start-up made (10 million hashes, modules) is never garbage: keep the collector from looking at it.
    gc.collect()
    gc.freeze()
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(server, options, more))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m penstock.testing.fault_server", description="A slow, limited, faulty API on loopback."
    )
    add_serving_options(parser)
    add = parser.add_argument
    add("--oracle", type=Path, help="answer vector searches over this file of float32")
    add("--dim", type=int, help="numbers per vector in the oracle's file")
    add("--plant", type=Path, help='JSON of planted corruptions: {"4711": "deleted"}')
    add("--shape", choices=sorted(SHAPES), default="default", help="of the oracle's requests and answers")
    return parser


def add_serving_options(parser: argparse.ArgumentParser) -> None:
    """The options of any server here: where it listens, its limiter, latency and faults, and what it writes down."""
    add = parser.add_argument
    add("--host", default="127.0.0.1")
    add("--port", type=int, default=0, help="0, the default, takes a free one")
    add("--port-file", type=Path, help="write the port there when ready")
    add("--limit", help="such as 100/1s or 600/5m; more is refused with 429")
    add("--limiter", choices=("fixed", "sliding", "gcra"), default="sliding")
    add("--burst", type=int, default=1, help="for gcra")
    add("--latency", default="0", help="seconds: 0.2, uniform:8:30, lognormal:0.1:0.5 or exponential:0.3")
    shares = "KIND=SHARE"
    add("--fault", action="append", default=[], metavar=shares, help=f"a status, {', '.join(KINDS)}")
    add(
        "--lasting",
        action="append",
        default=[],
        metavar=shares,
        help="as --fault, on every attempt of an item",
    )
    add("--attempts-affected", default="1", help="how many attempts of an item --fault can hit, or all")
    add("--retry-after", type=float, default=1.0, help="seconds, in injected 429 and 503_retry_after")
    add("--retry-after-date", action="store_true", help="send Retry-After as a date")
    add("--slow-body-seconds", type=float, default=2.0)
    add("--seed", type=int, default=0, help="of faults and latency")
    add("--arrivals", type=Path, help="append the time of every arrival there, as doubles")
    add("--stats-out", type=Path, help="write the counters there at the end, as JSON")


def make_server(
    options: argparse.Namespace, *, answer: Answer | None = None, respond: Respond | None = None
) -> FaultServer:
    """The server that `add_serving_options` describe. Raises ValueError or OSError for what cannot be."""
    affected = options.attempts_affected
    plan = FaultPlan(
        options.seed,
        rates=_shares(options.fault),
        lasting=_shares(options.lasting),
        attempts_affected="all" if affected == "all" else int(affected),
        retry_after=options.retry_after,
        retry_after_as_date=options.retry_after_date,
        slow_body_seconds=options.slow_body_seconds,
    )
    limiter: Limiter | None = None
    if options.limit is not None:
        limiter = make_limiter(options.limiter, options.limit, burst=options.burst)
    return FaultServer(
        host=options.host,
        port=options.port,
        limiter=limiter,
        latency=parse_latency(options.latency),
        faults=plan,
        answer=answer,
        respond=respond,
        arrivals_log=options.arrivals,
        seed=options.seed,
    )


def _oracle(options: argparse.Namespace) -> Answer | None:
    if options.oracle is None:
        return None
    if options.dim is None:
        raise ValueError("--oracle needs --dim: a raw file of float32 does not say how long its vectors are")
    plant = {} if options.plant is None else orjson.loads(options.plant.read_bytes())
    plants = {int(index): str(kind) for index, kind in plant.items()}
    return Oracle(options.oracle, dim=options.dim, plant=plants, shape=options.shape)


def _shares(texts: Sequence[str]) -> dict[str, float]:
    shares = {}
    for text in texts:
        kind, found, share = text.partition("=")
        if not found:
            raise ValueError(f"cannot read the fault {text!r}: write KIND=SHARE, such as 429=0.01")
        shares[kind] = float(share)
    return shares


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _serve(server: FaultServer, options: argparse.Namespace, more: Callable[[], Mapping[str, Any]]) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    try:
        async with server:
            if options.port_file is not None:
                _write_whole(options.port_file, b"%d\n" % server.port)
            # A reader that has gone away is no reason to stop serving.
            with contextlib.suppress(BrokenPipeError):
                print(f"listening on {server.url}", flush=True)  # noqa: T201 - all it prints
            await ended.wait()
    finally:
        if options.stats_out is not None:
            statistics = {**server.statistics().as_dict(), **more()}
            _write_whole(options.stats_out, orjson.dumps(statistics, option=orjson.OPT_INDENT_2))


def _write_whole(path: Path, data: bytes) -> None:
    # By way of another name, so that who waits for the file never reads half of it.
    beside = path.with_name(path.name + ".part")
    beside.write_bytes(data)
    beside.replace(path)
