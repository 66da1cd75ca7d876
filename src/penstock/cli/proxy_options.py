"""What `penstock proxy` takes on its command line, beyond what all commands know."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import click

from ..errors import UsageError
from ..rules.caching.options import CacheOptions
from ..rules.size import parse_memory
from ..wire.unix_socket import PREFIX, socket_path
from ..wire.url import split_origin
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


class UnixAddress(NamedTuple):
    """`unix:/run/penstock.sock`."""

    path: str


class ListenAddress(Address):
    """As Address, or a Unix socket."""

    name = "host:port|unix:path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Host and port, or a UnixAddress."""
        if not isinstance(value, str) or not value.startswith(PREFIX):
            return super().convert(value, param, ctx)
        try:
            return UnixAddress(socket_path(value))
        except UsageError as error:
            self.fail(str(error), param, ctx)


class OriginUrl(click.ParamType[Any]):
    """`http://127.0.0.1:8000` or `unix:/run/app.sock`."""

    name = "url"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """As it was given; what it is has been seen to."""
        try:
            split_origin(value)
        except UsageError as error:
            self.fail(str(error), param, ctx)
        return str(value)


class Mode(click.ParamType[Any]):
    """`660`: permissions in octal."""

    name = "mode"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The bits."""
        if isinstance(value, int):
            return value
        if not re.fullmatch(r"0?[0-7]{3}", value):
            self.fail(f"{value!r} is no mode of a file; write 660", param, ctx)
        return int(value, 8)


class Memory(Size):
    """`256MiB`; what nothing fits into is refused."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Bytes."""
        try:
            return parse_memory(value)
        except UsageError as error:
            self.fail(str(error), param, ctx)


class Processes(click.ParamType[Any]):
    """`4`, or `auto`: as many as this process may use cores."""

    name = "n|auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """How many."""
        if isinstance(value, int):
            return value
        if value == "auto":
            return min(_MOST_PROCESSES, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1)
        if not (value.isascii() and value.isdigit() and 1 <= int(value) <= _MOST_PROCESSES):
            self.fail(f"{value!r} is neither a number from 1 to {_MOST_PROCESSES} nor auto", param, ctx)
        return int(value)


_MOST_PROCESSES = 64
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
