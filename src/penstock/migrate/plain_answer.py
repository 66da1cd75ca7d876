"""An answer of ours in the place of the app's: the same for ASGI and WSGI."""

from __future__ import annotations

from typing import Any, NamedTuple

from .under_way import Send


class PlainAnswer(NamedTuple):
    """What the client gets."""

    status: int
    reason: str
    fields: dict[str, str]
    body: bytes


async def send_answer(send: Send, answer: PlainAnswer) -> None:
    """As ASGI has it."""
    fields = [(name.encode(), value.encode()) for name, value in answer.fields.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": fields})
    await send({"type": "http.response.body", "body": answer.body})


def return_answer(start_response: Any, answer: PlainAnswer) -> list[bytes]:
    """As WSGI has it."""
    start_response(f"{answer.status} {answer.reason}", list(answer.fields.items()))
    return [answer.body]
