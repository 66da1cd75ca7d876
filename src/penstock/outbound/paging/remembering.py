"""Answers that are there already, in front of a client."""

from __future__ import annotations

from ...call import AnyClient, Prepared, Unprepared
from ...messages import Request, Response


class Remembering:
    """A client (see AnyClient) that has the answers of some URLs: each is given once, in place of a call."""

    def __init__(self, client: AnyClient[Request, Response], answers: dict[str, Response]) -> None:
        self.prepares = client.prepares
        self.ready = client.ready
        self.ready_for = client.ready_for
        self._client = client
        self._answers = answers

    async def once(self, request: Request) -> Response:
        """Make the call, unless its answer is there."""
        answer = self._answers.pop(request.url, None)
        return await self._client.once(request) if answer is None else answer

    async def prepare(self, request: Request) -> Prepared[Response]:
        """Likewise: with an answer there is nothing to prepare."""
        if request.url in self._answers:
            return Unprepared(self.once, request)
        return await self._client.prepare(request)
