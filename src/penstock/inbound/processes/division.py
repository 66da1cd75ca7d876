"""What each of several processes may have of what was promised for all of them together."""

from __future__ import annotations

import dataclasses

from ...errors import UsageError
from ..proxy.proxy import ProxySettings


def divided(settings: ProxySettings, count: int) -> ProxySettings:
    """The settings of one of `count` processes: memory and connections are divided, and rounded down.

    Without the short way of plain requests, which knows nothing of URLs that another process answers.
    Raises UsageError where there is less than one for each.
    """
    limits = settings.limits
    return dataclasses.replace(
        settings,
        memory=settings.memory // count,
        plain_path=False,
        origin_connections=_share("origin-connections", settings.origin_connections, count),
        max_refreshes=max(1, settings.max_refreshes // count),
        limits=dataclasses.replace(
            limits,
            max_connections=_share_of("max-connections", limits.max_connections, count),
            max_connections_per_address=_share_of(
                "max-connections-per-address", limits.max_connections_per_address, count
            ),
        ),
    )


def _share_of(option: str, number: int | None, count: int) -> int | None:
    return None if number is None else _share(option, number, count)


def _share(option: str, number: int, count: int) -> int:
    if number < count:
        raise UsageError(f"--{option} {number} is divided among --processes {count}: give {count} or more")
    return number // count
