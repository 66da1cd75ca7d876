"""By what a request is known again, so that one user always gets the same arm: a header, or what a function says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from ..errors import UsageError
from .hosts import request_of
from .log import LOG
from .once import Once
from .parameters import is_async
from .under_way import UNDER_WAY

Key: TypeAlias = str | Callable[[Any], object]
"""The name of a header, or a function from the framework's request to something that names who asks."""


class KeyReader:
    """Finds the key of a request of `route`: None where it has none."""

    def __init__(self, route: str, key: Key | None) -> None:
        if not (key is None or callable(key) or (isinstance(key, str) and key.strip())):
            raise UsageError(f"key={key!r} of {route} is neither the name of a header nor a function")
        if callable(key) and is_async(key):
            raise UsageError(
                f"the key of {route} is async: it is asked where nothing can wait, so write a plain function"
            )
        self._route = route
        self._function = key if callable(key) else None
        self._header = key if isinstance(key, str) else ""
        self._lower = self._header.lower()
        self.wanted = key is not None
        self._warned = Once()

    def read(self, request: Any, arguments: tuple[Any, ...], named: Mapping[str, Any]) -> str | None:
        """The key: `request` is the framework's, where it is known; else it is looked for among the arguments."""
        if not self.wanted:
            return None
        # Requests are mappings, so one may be there and false.
        if self._function is not None:
            return self._ask(self._function, request_of(arguments, named) if request is None else request)
        under_way = UNDER_WAY.get()
        if under_way is not None:
            return under_way.header(self._lower)
        request = request_of(arguments, named) if request is None else request
        return None if request is None else request.headers.get(self._header)

    def _ask(self, function: Callable[[Any], object], request: Any) -> str | None:
        if request is None:
            return None
        try:
            key = function(request)
            return None if key is None else str(key)
        except Exception:  # noqa: BLE001  # the user's own code, and no reason to fail a request
            if self._warned.first(self._route):
                LOG.exception("the key of %s cannot be told, so its control serves; said once", self._route)
            return None
