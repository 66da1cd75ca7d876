"""Apps of which no request comes to the arms."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import penstock


def bare() -> str:
    """Given to the framework before the arms were made."""
    return "bare"


def also() -> str:
    """Served as it was at a second place, on purpose."""
    return "also"


def plain() -> str:
    """Of a framework under WSGI."""
    return "plain"


penstock.arms("GET /bare")(bare)
both = penstock.arms("GET /also")(also)
flask = penstock.arms("GET /plain", wsgi=True)(plain)


class App:
    """As those of Starlette and Flask show their routes."""

    routes = (
        SimpleNamespace(routes=[SimpleNamespace(endpoint=bare)]),
        SimpleNamespace(endpoint=both),
        SimpleNamespace(endpoint=also),
    )
    view_functions: dict[str, Any] = {"plain": flask}  # noqa: RUF012

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Never called."""


app = App()
