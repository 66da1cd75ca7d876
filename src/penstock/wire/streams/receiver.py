"""Who is told of an answer while it arrives."""

from __future__ import annotations

from typing import Protocol

from ...errors import CallError
from ...messages import RawFields


class Receiver(Protocol):
    """Called from the loop, in this order: interims, one head, body pieces, one end; or `on_failed` at any point.

    Nothing is called after `on_end`, `on_failed` or a cancelled exchange. Names of fields are lower case.
    """

    def on_interim(self, status: int, fields: RawFields) -> None:
        """A 1xx response (RFC 9110, 15.2)."""
        ...

    def on_head(self, status: int, reason: bytes, fields: RawFields, length: int | None) -> None:
        """The final head. `length` is that of the body in bytes; None where only its end will tell."""
        ...

    def on_body(self, chunk: bytes) -> None:
        """A piece of the body, never empty, without its transfer coding."""
        ...

    def on_end(self) -> None:
        """The answer is complete."""
        ...

    def on_failed(self, error: CallError) -> None:
        """There will be no complete answer."""
        ...
