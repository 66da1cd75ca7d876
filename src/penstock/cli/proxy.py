"""`penstock proxy`."""

from __future__ import annotations

import asyncio
import signal
import ssl
from pathlib import Path
from typing import Any

import click

from ..errors import PenstockError
from ..inbound.proxy.access_log import AccessLog
from ..inbound.proxy.proxy import Proxy, ProxySettings
from .certificate import read_tls
from .handover import tell_ready
from .listening import Listening, where_to_listen
from .loop import run_loop
from .options import ByteRate, Duration, Size, log_option
from .proxy_admin import TOKEN_VARIABLE, proxy_token, shown_address, start_admin
from .proxy_check import check_config, warn_of_policy
from .proxy_log import ProxyLog
from .proxy_options import Address, ListenAddress, Memory, Mode, OriginUrl, Processes, ProxyCommand
from .proxy_processes import serve_in_processes
from .proxy_serving import look_at_origin, open_access_log, policy_of, read_settings, reload_all, tell_of_trouble
from .proxy_wishes import has_successor, listen_to_signals
from .proxy_worker import is_worker, serve_as_worker

_EXAMPLES = """
\b
Examples:
  penstock proxy --origin http://127.0.0.1:8000
  penstock proxy --origin http://127.0.0.1:8000 --listen 0.0.0.0:80 --memory 2GiB --policy cache.toml
  penstock proxy --origin http://127.0.0.1:8000 --listen 0.0.0.0:443 --cert site.pem --key site.key
  penstock proxy --origin unix:/run/gunicorn.sock --listen unix:/run/penstock.sock --listen-mode 660 --trust-forwarded
  penstock proxy --origin http://127.0.0.1:8000 --listen 0.0.0.0:80 --processes auto
  penstock proxy --origin http://127.0.0.1:8000 --admin 127.0.0.1:8081 --admin-token-file token --metrics :9464
"""


@click.command(cls=ProxyCommand, epilog=_EXAMPLES, short_help="A shared HTTP cache in front of an app.")
@click.option(
    "--origin",
    type=OriginUrl(),
    required=True,
    metavar="URL",
    help="The app: scheme, host and port, or unix:/run/app.sock.",
)
@click.option(
    "--listen",
    type=ListenAddress(),
    metavar="HOST:PORT|unix:PATH",
    default="127.0.0.1:8080",
    show_default=True,
    help="Where clients connect.",
)
@click.option(
    "--listen-mode", type=Mode(), default=None, help="Of the file of --listen unix:PATH. [default: what umask leaves]"
)
@click.option("--memory", type=Memory(), default="256MiB", show_default=True, help="What is kept takes at most this.")
@click.option("--max-object", type=Size(), default=None, help="Larger answers pass through. [default: memory/8, 32MiB]")
@click.option(
    "--max-variants-bytes",
    type=Size(),
    default=None,
    help="All variants of one URL take at most this. [default: memory/8]",
)
@click.option(
    "--whole-ranges",
    type=Size(),
    default=None,
    help="Up to this length the whole is fetched for who wants a range of it. 0: never. [default: --max-object]",
)
@click.option(
    "--policy", type=click.Path(path_type=Path), default=None, help="TOML file for what the app does not say."
)
@click.option(
    "--profile",
    type=click.Choice(["safe", "rfc"]),
    default="safe",
    show_default=True,
    help="safe: nothing with Set-Cookie is stored. rfc: by the letter of RFC 9111.",
)
@click.option("--lenient-origin", is_flag=True, help="Accept framing and ranges of the app that contradict themselves.")
@click.option(
    "--targeted",
    metavar="FIELD",
    multiple=True,
    help="Field of RFC 9213 that is for this cache, the most specific first. [default: CDN-Cache-Control]",
)
@click.option("--no-targeted", is_flag=True, help="Obey no such field: it is for the CDN in front of this cache.")
@click.option("--host", "hosts", multiple=True, metavar="NAME", help="Answer only for this host. Repeatable.")
@click.option("--cert", type=click.Path(path_type=Path), default=None, help="PEM certificate chain: speak TLS.")
@click.option("--key", type=click.Path(path_type=Path), default=None, help="PEM key of --cert.")
@click.option("--trust-forwarded", is_flag=True, help="Clients are proxies of yours: keep their X-Forwarded fields.")
@click.option("--access-log", metavar="FILE", default=None, help="One line an answer; - is standard output.")
@click.option(
    "--access-log-format",
    type=click.Choice(["json", "combined"]),
    default=None,
    help="JSON, or the combined format of Apache and nginx with more at its end. [default: json]",
)
@click.option("--access-log-query", is_flag=True, help="With the query of URLs, which often carries secrets.")
@log_option
@click.option("--origin-connections", type=click.IntRange(min=1), default=1024, show_default=True, help="To the app.")
@click.option(
    "--plain-path/--no-plain-path",
    default=False,
    help="Take plain requests a shorter way that leads to the same, for a third of the CPU of a miss. New: off. Does "
    "nothing with --access-log, --trust-forwarded or several --processes.",
)
@click.option(
    "--request-buffer",
    type=Size(),
    default="64KiB",
    show_default=True,
    help="So much of a request body is read before the app is asked.",
)
@click.option("--connect-timeout", type=Duration(), default="3s", show_default=True, help="To connect to the app.")
@click.option(
    "--first-byte-timeout", type=Duration(), default="60s", show_default=True, help="Until the app begins to answer."
)
@click.option(
    "--between-bytes-timeout", type=Duration(), default="30s", show_default=True, help="Silence within an answer."
)
@click.option(
    "--header-timeout", type=Duration(), default="10s", show_default=True, help="For a client to send a head."
)
@click.option(
    "--idle-timeout", type=Duration(), default="60s", show_default=True, help="A connection without requests."
)
@click.option(
    "--min-request-rate",
    type=ByteRate(),
    default="500B/s",
    show_default=True,
    help="A request body that is 20 s behind this gets 408. 0: no bound.",
)
@click.option("--send-timeout", type=Duration(), default="30s", show_default=True, help="A client that takes nothing.")
@click.option("--max-connections", type=click.IntRange(min=1), default=10_000, show_default=True, help="Of clients.")
@click.option(
    "--max-connections-per-address",
    type=click.IntRange(min=0),
    default=1000,
    show_default=True,
    help="0: no bound, as behind another proxy.",
)
@click.option(
    "--stale-when-unreachable",
    type=Duration(),
    default="1d",
    show_default=True,
    help="How long stale answers stand in for an app that cannot be reached.",
)
@click.option(
    "--admin", type=Address(), default=None, help="Where purge, explain and top connect; needs a token, see below."
)
@click.option(
    "--admin-token-file",
    type=click.Path(path_type=Path),
    default=None,
    help=f"Holds the token of --admin. [default: {TOKEN_VARIABLE} of the environment]",
)
@click.option(
    "--check-config", is_flag=True, help="Look at options, policy, certificate and paths, print them, and end."
)
@click.option("--metrics", type=Address(), default=None, help="Serve Prometheus metrics here, to anybody.")
@click.option(
    "--processes",
    type=Processes(),
    default="1",
    show_default=True,
    help="Several share the work, on one core each; auto: as many as there are cores. Each URL belongs to one of them.",
)
@click.option(
    "--drain-timeout", type=Duration(), default="30s", show_default=True, help="To finish answers at the end."
)
def proxy(**options: Any) -> int:
    """Answer from memory what the app has just answered; ask the app once for what many want.

    Responses say themselves how long they are fresh (Cache-Control, Expires). SIGTERM drains: no new connections,
    answers under way are finished. SIGHUP reads the policy file and the certificate again and reopens the access log.
    SIGUSR2 starts the command anew, hands its socket over, then drains: no client is refused; the store begins empty.

    --admin opens an address of its own for penstock purge, explain and top. It is never open to clients: it answers
    those who know its token, which has 16 characters or more and stands in a file or the environment.
    """
    if is_worker():
        return serve_as_worker(options)
    settings = read_settings(options)
    tls = read_tls(options["cert"], options["key"])
    token = proxy_token(options["admin"], options["admin_token_file"])
    log = ProxyLog(options["log"])
    with log.libraries():
        if options["processes"] > 1:
            return serve_in_processes(settings, tls, options, token, log)
        if options["check_config"]:
            return run_loop(check_config(settings, tls, options, log))
        return run_loop(_serve(settings, tls, options, token, log))


async def _serve(
    settings: ProxySettings, tls: ssl.SSLContext | None, options: dict[str, Any], token: str, log: ProxyLog
) -> int:
    access_log = open_access_log(options)
    proxy = Proxy(settings, access_log=access_log)
    proxy.keep_collector_away()
    # The admin address comes first: whoever finds the clients' one open can purge already.
    await start_admin(proxy, options["admin"], token, options["metrics"], log)
    listening = where_to_listen(options, proxy.client.origin)
    try:
        await proxy.start(listening.host, listening.port, tls=tls, sock=listening.sock)
    except BaseException:
        listening.remove_file()
        raise
    # Before anybody is told that it answers: who asks for a restart at once is heard, and ends nothing.
    wishes = listen_to_signals()
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, _reload, proxy, tls, options, access_log, log)
    url = _url(proxy, listening, tls)
    log.say("started", f"{url} answers for {settings.origin}", url=url, origin=settings.origin)
    warn_of_policy(settings.policy, log)
    tell_ready()
    tell_of_trouble(proxy, log)
    async with asyncio.TaskGroup() as group:
        looking = group.create_task(look_at_origin(proxy))
        if not await has_successor(wishes, proxy, proxy.server.sockets, options, token, log):
            listening.remove_file()
        looking.cancel()
    await _drain(proxy, options["drain_timeout"], log)
    if access_log is not None:
        access_log.close()
    return 0


def _url(proxy: Proxy, listening: Listening, tls: ssl.SSLContext | None) -> str:
    name = proxy.server.sockets[0].getsockname()
    if isinstance(name, str):
        return f"unix:{name}"
    return f"{'http' if tls is None else 'https'}://{shown_address(listening.host, name[1])}"


async def _drain(proxy: Proxy, timeout: float, log: ProxyLog) -> None:
    """Finish what is under way; a second signal ends that at once."""
    busy = proxy.server.busy
    text = f"finishing what is under way ({busy} answers), for at most {timeout:g} s"
    log.say("draining", text, answers=busy, timeout_s=timeout)
    draining = asyncio.ensure_future(proxy.aclose(timeout))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, draining.cancel)
    try:
        await draining
    except asyncio.CancelledError:
        log.say("interrupted", "stopped without waiting", level="warning")
        await proxy.aclose(0)


def _reload(
    proxy: Proxy, tls: ssl.SSLContext | None, options: dict[str, Any], access_log: AccessLog | None, log: ProxyLog
) -> None:
    """SIGHUP."""
    try:
        policy = reload_all(proxy, tls, options, access_log, lambda: policy_of(options["policy"]))
    except PenstockError as error:
        log.say("not_reloaded", f"not reloaded: {error}", level="error", message=str(error))
    else:
        log.say("reloaded", "reloaded")
        warn_of_policy(policy, log)
