"""What a process that serves clients needs of its options, alone or as one of several."""

from __future__ import annotations

import ssl
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..clock import current_clock
from ..errors import CallError, UsageError
from ..inbound.cache.app_clock import clock_in_words
from ..inbound.cache.policy import Policy
from ..inbound.cache.policy_file import read_policy
from ..inbound.proxy.access_line import FORMATS
from ..inbound.proxy.access_log import AccessLog
from ..inbound.proxy.proxy import Proxy, ProxySettings
from ..wire.server import ServerLimits
from .certificate import load_certificate, read_tls
from .proxy_log import ProxyLog, Refusals
from .proxy_options import cache_options

_MEANWHILE = "stale answers where that is allowed, or 502"


def read_settings(options: dict[str, Any]) -> ProxySettings:
    """The settings that the options ask for. Raises UsageError."""
    if options["access_log"] is None and (options["access_log_format"] or options["access_log_query"]):
        raise UsageError("--access-log-format and --access-log-query need --access-log")
    per_address = options["max_connections_per_address"]
    return ProxySettings(
        origin=options["origin"],
        memory=options["memory"],
        max_object=options["max_object"],
        max_variants_bytes=options["max_variants_bytes"],
        whole_ranges=options["whole_ranges"],
        policy=policy_of(options["policy"]),
        options=cache_options(
            profile=options["profile"],
            targeted=options["targeted"],
            no_targeted=options["no_targeted"],
            lenient_origin=options["lenient_origin"],
            stale_when_unreachable=options["stale_when_unreachable"],
        ),
        limits=ServerLimits(
            header_timeout=options["header_timeout"],
            idle_timeout=options["idle_timeout"],
            min_body_rate=options["min_request_rate"] or None,
            send_timeout=options["send_timeout"],
            max_connections=options["max_connections"],
            max_connections_per_address=per_address or None,
        ),
        hosts=options["hosts"],
        trust_forwarded=options["trust_forwarded"],
        origin_connections=options["origin_connections"],
        request_buffer=options["request_buffer"],
        plain_path=options["plain_path"],
        connect_timeout=options["connect_timeout"],
        first_byte_timeout=options["first_byte_timeout"],
        between_bytes_timeout=options["between_bytes_timeout"],
    )


def policy_of(path: Path | None) -> Policy:
    """The policy of a file; None is one that says nothing. Raises InputError."""
    return Policy() if path is None else read_policy(path)


def open_access_log(options: dict[str, Any]) -> AccessLog | None:
    """The access log, if there is to be one. Raises OutputError."""
    where = options["access_log"]
    if where is None:
        return None
    return AccessLog(
        current_clock(),
        None if where == "-" else Path(where),
        sys.stdout.fileno() if where == "-" else None,
        line=FORMATS[options["access_log_format"] or "json"],
        with_query=options["access_log_query"],
        trust_forwarded=options["trust_forwarded"],
    )


def tell_of_trouble(proxy: Proxy, log: ProxyLog) -> None:
    """Say what happens between it and the app, and of clients that are too many."""
    origin = str(proxy.client.origin)

    def changed(up: bool, why: str) -> None:
        reason = why.removeprefix(f"{origin}: ")
        if up:
            log.say("recovered", f"{origin} answers again", origin=origin)
        else:
            text = f"{origin} does not answer: {reason}; until it does, {_MEANWHILE}"
            log.say("outage", text, level="warning", origin=origin, reason=reason)

    def clock_is(behind: float) -> None:
        text = f"the clock of {origin} is {clock_in_words(behind)}"
        log.say("clock", text, level="warning" if behind else "info", origin=origin, behind_s=round(behind))

    def goes_round() -> None:
        proxy.handler.on_loop = None
        log.caution(
            f"requests come back here, and get 508: what {origin} leads to sends them to this proxy (said once)"
        )

    proxy.engine.health.on_change = changed
    proxy.engine.app_clock.on_change = clock_is
    proxy.handler.on_loop = goes_round
    proxy.server.on_refused = Refusals(log, proxy.engine.clock.now).refused


async def look_at_origin(proxy: Proxy) -> None:
    """Whether there is an app, before a client finds out; it may come later."""
    try:
        await proxy.client.probe()
    except CallError as error:
        proxy.engine.health.failed(proxy.engine.clock.now(), str(error), unreachable=True)


def reload_all(
    proxy: Proxy,
    tls: ssl.SSLContext | None,
    options: dict[str, Any],
    access_log: AccessLog | None,
    policy: Callable[[], Policy],
) -> Policy:
    """Open and read everything anew. Where one thing cannot be, all others stay as they were, but for the access log.

    Raises PenstockError.
    """
    if access_log is not None:
        access_log.reopen()
    found = policy()
    if tls is not None:
        # First into another one: half of a pair that does not fit would be left in this.
        read_tls(options["cert"], options["key"])
        load_certificate(tls, options["cert"], options["key"])
    proxy.replace_policy(found)
    return found
