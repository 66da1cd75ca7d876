"""A credential that can be had anew while a run goes on: what the engine knows of it."""

from __future__ import annotations

from typing import Any, Protocol


class Renewable(Protocol):
    """Belongs to all calls of a run. `generation` counts from 0 and grows with each renewal."""

    generation: int

    def fill(self, request: Any, /) -> Any:
        """`request` with the credential of now."""
        ...

    async def renew(self) -> None:
        """Get another. Raises PenstockError where that fails."""
        ...
