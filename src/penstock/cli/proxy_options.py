"""What `penstock proxy` takes on its command line, beyond what all commands know."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from ..errors import UsageError
from ..rules.caching.options import CacheOptions


class Address(click.ParamType[Any]):
    """`127.0.0.1:8080`, `[::1]:8080` or `:8080` (all addresses)."""

    name = "host:port"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int]:
        """Host (without brackets) and port."""
        if isinstance(value, tuple):
            return value
        host, colon, port = str(value).rpartition(":")
        if not colon or not port.isdigit() or int(port) > 65535:
            self.fail(f"{value!r} is not an address; write 127.0.0.1:8080", param, ctx)
        return host.strip("[]") or "0.0.0.0", int(port)  # noqa: S104  # whoever writes :8080 means all addresses


def cache_options(*, profile: Any, targeted: Sequence[str], no_targeted: bool, **more: Any) -> CacheOptions:
    """What the options about rules ask for. Raises UsageError."""
    if no_targeted and targeted:
        raise UsageError("--targeted and --no-targeted exclude each other")
    if no_targeted or targeted:
        more["targeted"] = tuple(name.strip().lower().encode() for name in targeted)
    try:
        return CacheOptions(profile=profile, **more)
    except ValueError:
        raise UsageError(
            f"--targeted {' '.join(targeted)}: write the name of a field of RFC 9213, such as CDN-Cache-Control; "
            "Cache-Control and Expires are none"
        ) from None
