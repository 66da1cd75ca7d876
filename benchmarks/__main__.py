"""`python -m benchmarks NAME [options]`; `all` runs the short ones one after the other."""

from __future__ import annotations

import importlib
import sys
import time
import traceback

NAMES = {
    "slow_api": "the 100/min API with 8 to 30 s latency, virtual time (seconds)",
    "engine": "CPU an item of penstock.run with a no-op call (a minute)",
    "speed": "calls a second on one core beside aiohttp, httpx, aiometer, hey and wrk (two minutes)",
    "limit": "limits judged by strict servers, also across kill -9 (three minutes)",
    "shared_limit": "one limit for 2, 4 and 8 processes, judged by strict servers, with a kill -9 (four minutes)",
    "cores": "--processes 1 and 2 on all cores against a fast server (two minutes)",
    "outage": "an hour of a host that is down, virtual time; a server killed or stopped, for real (two minutes)",
    "hedge": "one slow answer in a hundred: the 99th percentile with and without second calls (two minutes)",
    "closing": "POSTs lost to servers that close kept connections without saying so (three minutes)",
    "http_faces": "ten calls of a handler that stays sync, with requests and with Http (half a minute)",
    "move_context": "10,000 interleaved requests in each arm: whose user, trace and session they have (a minute)",
    "move_bench": "what `move bench` says of services whose answer is known (fifteen minutes)",
    "move_aa": "`move bench` of a route against itself, twenty times (an hour)",
    "move_answers": "who makes a large answer, a thread or the event loop, with arms and without (a minute)",
    "slow_pull": "the 100/min API with 8 to 30 s a page, virtual time, and sixty times as fast (half a minute)",
    "pull": "a million rows of a paged API beside dlt and aiohttp loops (two minutes)",
    "cache_embedded": "what a hit in CacheMiddleware costs over a bare app under uvicorn and granian (a minute)",
    "memory": "peak memory at 200,000 and 1,000,000 items (two minutes)",
    "cache_store": "the memory store: honest bytes, purge of 100,000 of a million, time an operation (three minutes)",
    "adaptive": "servers that do not tell what they can take: who finds it, holds it, follows it (three minutes)",
    "cache_hit": "hits a second on one core beside Varnish, nginx and apps that do nothing (two minutes)",
    "cache_processes": "what a hit costs with two processes against one (a minute)",
    "cache_log": "what an access log costs a hit (a minute)",
    "cache_miss": "unique URLs only: misses a second and CPU a miss beside Varnish and nginx (a minute)",
    "cache_plain": "what a miss and a passed answer cost without the network, the short way and the general (a minute)",
    "cache_story": "45,000 requests a second, a third of them unique, open loop (two minutes)",
    "cache_cold": "1,000 clients at once on a cold key, and on one that may not be shared (a minute)",
    "cache_variants": "one URL that varies with 300 languages, six codings, or the cookie: hits (three minutes)",
    "cache_ranges": "first byte of ranges of an answer that takes three seconds; cold ranges (a minute)",
    "cache_outage": "the app is down for ten minutes, twenty times as fast: who still answers (two minutes)",
    "cache_slow": "hits while 10,000 slow connections are open (a minute)",
    "cache_django": "Django's tutorial, a shop and Wagtail behind the proxy: forms, users, hits (two minutes)",
    "move_arms": "what an arm costs: the choice, and CPU of a FastAPI route with and without (a minute)",
    "move_turns": "whether a core's speed changes within seconds: a piece of work against itself (a minute)",
    "move_flips": "twenty flips over four workers under load, the state file damaged in between (two minutes)",
    "move_back": "an arm turns bad under load: how soon it has no share; equal arms, by chance (six minutes)",
    "function_counts": "functions that a request goes through, by what becomes of it (seconds)",
}

LONG = ("move_bench", "move_aa")
"""Not among `all`, which is to take ten minutes."""


def main(arguments: list[str]) -> int:
    """0 if every goal was reached, 1 if not, 2 for a wrong command."""
    if not arguments or arguments[0] in ("-h", "--help", "--list"):
        print("python -m benchmarks NAME [--help | options]\n")
        for name, what in NAMES.items():
            print(f"  {name:14} {what}")
        print("  all            all of them but move_bench and move_aa\n")
        print("python -m benchmarks.soak --help for the long runs")
        return 0 if arguments else 2
    names = [name for name in NAMES if name not in LONG] if arguments[0] == "all" else [arguments[0]]
    if names[0] not in NAMES:
        print(f"there is no benchmark {names[0]!r}: choose one of {', '.join(NAMES)}, all", file=sys.stderr)
        return 2
    from .processes import MissingTool, raise_open_files

    raise_open_files()
    began = time.monotonic()
    verdicts: dict[str, str] = {}
    for name in names:
        print(f"\n## {name}", flush=True)
        try:
            passed = importlib.import_module(f".{name}", __package__).main(arguments[1:])
            verdicts[name] = "PASS" if passed else "FAIL"
        except MissingTool as missing:
            verdicts[name] = f"FAIL: {missing}"
        except (RuntimeError, TimeoutError, OSError, ImportError) as error:
            traceback.print_exc()
            verdicts[name] = f"FAIL: {type(error).__name__}: {str(error)[:200]}"
    print(f"\n## {time.monotonic() - began:.0f} s\n")
    for name, verdict in verdicts.items():
        print(f"{name:14} {verdict}")
    return 0 if all(verdict == "PASS" for verdict in verdicts.values()) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
