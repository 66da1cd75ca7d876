"""`penstock demo cache`: an app behind `penstock proxy`, a purge, the app killed, and how often it was asked."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click

from ...clock import SYSTEM_CLOCK
from ...errors import UsageError
from ...messages import Request
from ...wire.client import Client
from ..loop import run_loop
from .cache_app import DELAY, MAX_AGE, Counts, read_counts
from .cache_load import PAGES, ClientTally, Load
from .stage import PENSTOCK, Check, free_ports, judge, listening, tell


def serve_from_cache(seconds: float, rate: int) -> bool:
    """Run the cache's part of the demo for `seconds` at `rate` requests a second; whether all is well."""
    with tempfile.TemporaryDirectory(prefix="penstock-demo-") as name:
        return run_loop(Stage(Path(name), seconds, rate).play())


class Stage:
    """The processes, the clients, and what happens when."""

    def __init__(self, folder: Path, seconds: float, rate: int) -> None:
        self._folder = folder
        self._seconds = seconds
        self._counts = folder / "counts"
        self._token = folder / "token"
        self._app_port, self._port, self._admin_port = free_ports(3)
        self._app: subprocess.Popen[bytes] | None = None
        self._load = Load(f"http://127.0.0.1:{self._port}", rate, SYSTEM_CLOCK)
        self._shown = ClientTally()
        self._shown_counts = Counts()
        self._shown_at = 0.0
        tell(
            f"Starting an app of {PAGES} pages that takes {DELAY * 1000:g} ms for an answer and says that a page is "
            f"fresh for {MAX_AGE} s, and penstock proxy in front of it. {rate:,} requests a second ask for these "
            "pages, but every third for something that nobody asked for before."
        )

    async def play(self) -> bool:
        """All of it."""
        self._token.touch(mode=0o600)
        self._token.write_text(secrets.token_urlsafe(32))
        with contextlib.ExitStack() as stack:
            stack.callback(self._kill_app)
            await self._start_app()
            stack.enter_context(self._proxy())
            await listening(self._port)
            self._load = Load(f"http://127.0.0.1:{self._port}", self._load.rate, SYSTEM_CLOCK)
            began = self._shown_at = SYSTEM_CLOCK.now()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._load.run())
                try:
                    await self._events()
                finally:
                    self._load.stop()
        return report(self._load.tally, read_counts(self._counts), SYSTEM_CLOCK.now() - began)

    async def _events(self) -> None:
        """A fifth of the time each: calm, after a purge, without the app (a bit more), and with it again."""
        part = self._seconds / 5
        await self._watch(part)
        await self._purge()
        await self._watch(part)
        self._kill_app()
        self._load.app_is_down = True
        tell("  -- the app is killed with kill -9 --")
        await self._watch(part * 1.5)
        await self._start_app()
        tell("  -- the app is there again --")
        # Until the cache has noticed, which it does with the next request that it sends.
        await self._watch(1.5)
        self._load.app_is_down = False
        await self._watch(max(1.0, part * 1.5 - 1.5))

    async def _watch(self, seconds: float) -> None:
        """One line a second."""
        until = SYSTEM_CLOCK.now() + seconds
        while (left := until - SYSTEM_CLOCK.now()) > 0:
            # A rest of less than half a second belongs to the line before.
            await SYSTEM_CLOCK.sleep(left if left < 1.5 else 1.0)
            self._show()

    def _show(self) -> None:
        now = SYSTEM_CLOCK.now()
        span, self._shown_at = now - self._shown_at, now
        tally, counts = self._load.tally, read_counts(self._counts)
        before, counted = self._shown, self._shown_counts
        tell(line_of(tally, before, counts.pages + counts.new - counted.pages - counted.new, span))
        self._shown = ClientTally(requests=tally.requests, hits=tally.hits, stale=tally.stale)
        self._shown_counts = counts

    async def _purge(self) -> None:
        """Change all pages, and purge them with the command that an editor's system would use."""
        client = Client()
        try:
            await client(Request("POST", f"http://127.0.0.1:{self._app_port}/edit"))
        finally:
            await client.aclose()
        command = ["purge", "--admin", f"http://127.0.0.1:{self._admin_port}"]
        command += ["--admin-token-file", str(self._token), "--tag", "pages"]
        tell(f"  -- all pages are changed, and purged: penstock {shlex.join(command)} --")
        process = await asyncio.create_subprocess_exec(*PENSTOCK, *command, stdout=subprocess.DEVNULL)
        if await process.wait():
            raise UsageError("the demo's purge failed")
        self._load.current = read_counts(self._counts).edits

    async def _start_app(self) -> None:
        # Not with -m: the package of the demo imports the module before that would run it.
        start = [sys.executable, "-c", "from penstock.cli.demo.cache_app import main; main()"]
        command = [*start, "--port", str(self._app_port), "--counts", str(self._counts)]
        self._app = subprocess.Popen(command)  # noqa: S603, ASYNC220  # our own module; it takes a millisecond
        await listening(self._app_port)

    def _kill_app(self) -> None:
        if self._app is not None:
            self._app.kill()
            self._app.wait()
            self._app = None

    @contextlib.contextmanager
    def _proxy(self) -> Iterator[None]:
        admin = f"127.0.0.1:{self._admin_port}"
        command = ["proxy", "--origin", f"http://127.0.0.1:{self._app_port}", "--listen", f"127.0.0.1:{self._port}"]
        command += ["--admin", admin, "--admin-token-file", str(self._token)]
        watch = ["top", "--admin", f"http://{admin}", "--admin-token-file", str(self._token)]
        # Not folded: they are there to be copied.
        click.echo(f"\n  penstock {shlex.join(command)}\n", err=True)
        click.echo(f"To watch it, in another window:\n\n  penstock {shlex.join(watch)}\n", err=True)
        with (self._folder / "proxy.log").open("wb") as log:
            process = subprocess.Popen([*PENSTOCK, *command], stderr=log)  # noqa: S603  # our own command
        try:
            yield
        finally:
            process.terminate()
            process.wait()


def line_of(tally: ClientTally, before: ClientTally, asked: int, span: float) -> str:
    """What happened in the last `span` seconds; the app was asked `asked` times in them, by its own count."""
    requests, hits, stale = tally.requests - before.requests, tally.hits - before.hits, tally.stale - before.stale
    share = f"{hits / requests:4.0%}" if requests else "   -"
    text = f"  {requests / span:6,.0f} requests/s   from the cache {share}   the app gets {asked / span:5,.0f}/s"
    return text + (f"   ({stale:,} answers stale)" if stale else "")


def report(tally: ClientTally, counts: Counts, seconds: float) -> bool:
    """Judge what the clients saw in `seconds` by what the app counted; whether all is well."""
    asked = counts.pages + counts.new
    # At the beginning, after the purge, and at the end of the time without the app each page is due as well.
    most_pages = int(PAGES * (seconds / MAX_AGE + 3))
    answered = tally.requests - tally.kinds.total()
    spared = 1 - asked / answered if answered else 0.0
    times = {name: value or 0.0 for name, value in tally.times.percentiles_ms().items()}
    wrong = ", ".join(f"{kind} {number:,}" for kind, number in sorted(tally.kinds.items()))
    checks = [
        Check(
            "every page was answered, also while the app was dead",
            f"{tally.pages - tally.pages_lost:,} of {tally.pages:,}",
            tally.pages > 0 and not tally.pages_lost,
        ),
        Check("nobody got a page of before the purge after it", f"{tally.outdated:,} did", not tally.outdated),
        Check("nothing new was lost while the app was there", f"{tally.new_lost:,} were", not tally.new_lost),
        Check(
            f"the app was asked for a page once in {MAX_AGE} s at most, and once more after the purge",
            f"{counts.pages:,} times for {PAGES} pages; up to {most_pages:,} are due",
            counts.pages <= most_pages,
        ),
    ]
    fine = judge(checks, evidence="the app's own count, which outlives its kill, and what each client got")
    tell(
        f"\nThe app was spared {spared:.0%}: {answered:,} answers, {asked:,} requests that reached it. For pages "
        f"it was asked {counts.pages:,} times, the clients {tally.pages:,} times. From the cache half were answered "
        f"within {times['p50']:.1f} ms, 99 % within {times['p99']:.1f} ms."
    )
    if tally.new_without_app:
        tell(f"{tally.new_without_app:,} requests for something new came while the app was dead: nobody had an answer.")
    if not fine and wrong:
        tell(f"What was answered otherwise: {wrong}.")
    return fine
