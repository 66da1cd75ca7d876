"""The refusal of a request."""

from __future__ import annotations

from ...errors import PenstockError


class RequestRejected(PenstockError):
    """A request that is answered with `status` and nothing else; the connection is of no more use."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
