"""What `penstock proxy` says of its policy, and `--check-config`: everything is looked at, and nothing is served."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from itertools import combinations
from typing import Any

from ..errors import UsageError
from ..inbound.cache.policy import PathPolicy, Policy
from ..inbound.cache.policy_checks import DURATIONS, WHERE
from ..inbound.cache.policy_warnings import warnings_of
from ..inbound.proxy.own_address import is_one_address, refuse_itself
from ..inbound.proxy.proxy import Proxy, ProxySettings
from ..observe.exposition import check_available
from .listening import check_listen
from .places import check_access_log, check_socket_file
from .proxy_admin import shown_address
from .proxy_log import ProxyLog
from .proxy_options import UnixAddress
from .terminal import echo

_LISTENING = ("listen", "admin", "metrics")


def warn_of_policy(policy: Policy, log: ProxyLog) -> None:
    """A line on standard error for each thing in it that is seldom meant."""
    for line in warnings_of(policy):
        log.say("warning", f"warning: {line}", level="warning", message=line)


async def check_config(
    settings: ProxySettings, tls: ssl.SSLContext | None, options: dict[str, Any], log: ProxyLog
) -> int:
    """Print what was found and what is doubtful. Raises UsageError for what a start would refuse."""
    # It listens nowhere and asks nobody; only to be made it looks at what it is made of.
    proxy = Proxy(settings)
    check_listen(options, proxy.client.origin)
    listen = options["listen"]
    if not isinstance(listen, UnixAddress):
        await refuse_itself(proxy.client.origin, listen[0], listen[1], None)
    await proxy.aclose(0)
    await _check_places(options)
    for line in _found(settings, tls, options):
        echo(line, err=False)
    warn_of_policy(settings.policy, log)
    return 0


async def _check_places(options: dict[str, Any]) -> None:
    """Raise UsageError for what could not be opened, or listened on. No address is bound: who has it is not known."""
    if options["metrics"] is not None:
        check_available()
    if options["access_log"] is not None:
        check_access_log(options["access_log"])
    if isinstance(options["listen"], UnixAddress):
        check_socket_file(options["listen"].path)
    ports = [name for name in _LISTENING if options[name] is not None and not isinstance(options[name], UnixAddress)]
    for one, other in combinations(ports, 2):
        if await is_one_address(options[one], options[other]):
            where = shown_address(*options[other])
            raise UsageError(f"--{other} {where} is taken by --{one}: each needs an address of its own")


def _found(settings: ProxySettings, tls: ssl.SSLContext | None, options: dict[str, Any]) -> Iterator[str]:
    yield f"origin    {settings.origin}"
    yield f"listen    {_url(options['listen'], tls)}"
    yield f"memory    {settings.memory:,} bytes"
    if options["processes"] > 1:
        yield f"processes {options['processes']}"
    if tls is not None:
        yield f"cert      {options['cert']}"
    if options["admin"] is not None:
        yield f"admin     http://{shown_address(*options['admin'])}"
    if options["metrics"] is not None:
        yield f"metrics   http://{shown_address(*options['metrics'])}/metrics"
    if options["access_log"] is not None:
        yield f"log       {options['access_log']}"
    policy = settings.policy
    if policy.source is None:
        yield "policy    none: what the app says holds"
        return
    yield f"policy    {policy.source}: {len(policy.paths)} [[path]]"
    for entry in policy.paths:
        yield _entry(policy, entry)
    if policy.default.said():
        yield _entry(policy, policy.default)


def _url(listen: Any, tls: ssl.SSLContext | None) -> str:
    if isinstance(listen, UnixAddress):
        return f"unix:{listen.path}"
    return f"{'http' if tls is None else 'https'}://{shown_address(*listen)}"


def _entry(policy: Policy, entry: PathPolicy) -> str:
    """Where it stands, for which requests it is, and what it says itself."""
    place = next((entry.lines[key] for key in entry.lines if key in WHERE), None)
    says = [_said(key, value) for key, value in entry.said().items() if key not in WHERE]
    where = policy.source if place is None else f"{policy.source}:{place}"
    return f"  {where}: {entry.where}: {', '.join(says) or 'nothing but what the app says'}"


def _said(key: str, value: Any) -> str:
    if key == "ttl_by_status":
        return f"{key} {', '.join(f'{status} {seconds:g} s' for status, seconds in value.items())}"
    if isinstance(value, bool):
        return key if value else f"{key} false"
    if key in DURATIONS or key == "heuristic":
        return f"{key} {value:g} s"
    return f"{key} {' '.join(value) or 'none'}"
