"""What `penstock proxy` takes on its command line, beyond what all commands know."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from ..errors import UsageError
from ..rules.caching.options import CacheOptions
from ..rules.size import parse_memory
from .options import Size


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


class Memory(Size):
    """`256MiB`; what nothing fits into is refused."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Bytes."""
        try:
            return parse_memory(value)
        except UsageError as error:
            self.fail(str(error), param, ctx)


_PLACES = frozenset(
    ("origin", "listen", "policy", "cert", "key", "access_log", "admin", "admin_token_file", "metrics", "log")
)


class ProxyCommand(click.Command):
    """Refuses a second --origin and the like: click takes the last one and forgets the others without a word.

    Numbers may come again, so that a script can append to what it was given.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does."""
        _, _, order = self.make_parser(ctx).parse_args(args=[*args])
        for option in _PLACES:
            count = sum(each.name == option for each in order)
            if count > 1:
                name = option.replace("_", "-")
                why = "; several apps need a load balancer between" if option == "origin" else ""
                raise click.UsageError(f"--{name} is given {count} times, and a proxy has one{why}.", ctx)
        return super().parse_args(ctx, args)


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
