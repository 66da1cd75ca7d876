"""Which answers are failures: the one place that looks at a response for that, for runs and their readers alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..clock import SYSTEM_CLOCK, Clock
from ..errors import StatusError
from ..messages import Response
from ..rules.retries.refusal import Wait, read_wait
from ..rules.retries.said import Said
from ..rules.retries.verdict import ACCEPTED, is_success
from .conditions import UNREAD, Body, Conditions
from .options import AnswerOptions
from .polling import next_poll

_NOT_DONE = (
    ", so the peer took the request and has not done it yet (--poll-until asks until it has, --ok-when 202 takes it "
    "for done)"
)
_WHY: dict[Said | None, str] = {
    Said.THROTTLED: ", which meets --throttle-when",
    Said.RETRYABLE: ", which meets --retry-when",
    Said.PENDING: ", which does not meet --poll-until yet",
}


class AnswerRules:
    """Makes a StatusError of a response that is no success; what that means is for `rules/retries/verdict`.

    `quotas`: whether what is told of quotas can make a refusal of an answer. `quote` makes of a body what a message
    shows. `other_origins`: whether the question how far a peer is may go to another origin than the request did. Raises
    UsageError for what is no condition.
    """

    def __init__(
        self,
        options: AnswerOptions | None = None,
        *,
        quotas: bool = True,
        quote: Callable[[bytes], str] | None = None,
        other_origins: bool = False,
    ) -> None:
        self.clock: Clock = SYSTEM_CLOCK
        self._conditions = Conditions(options or AnswerOptions())
        self._quotas = quotas
        self._quote = quote
        self._other_origins = other_origins

    def admit(self, response: Response, parse: Callable[[Response], Any] = Response.json) -> Any:
        """The JSON of a success, where a condition had it parsed, else UNREAD. Raises StatusError for a failure."""
        if not self._conditions.given:
            if not is_success(response.status):
                raise self._error(response, None, self._wait(response))
            return UNREAD
        body = Body(response, parse)
        error = self._failure(response, self._conditions.said_of(response, body))
        if error is not None:
            raise error
        return body.json

    def error_of(self, response: Response) -> StatusError | None:
        """The error that a response stands for; None for a success."""
        said = self._conditions.said_of(response, Body(response, Response.json)) if self._conditions.given else None
        return self._failure(response, said)

    def _failure(self, response: Response, said: Said | None) -> StatusError | None:
        status = response.status
        # Below 400 nothing that fields say makes a refusal of it.
        if status < 400 and is_success(status, said):
            return None
        wait = self._wait(response)
        return None if is_success(status, said, wait) else self._error(response, said, wait)

    def _wait(self, response: Response) -> Wait:
        return read_wait(response.headers, self.clock.wall(), quotas=self._quotas)

    def _error(self, response: Response, said: Said | None, wait: Wait) -> StatusError:
        status = response.status
        body = f": {self._quote(response.body)}" if self._quote is not None and response.body else ""
        why = _NOT_DONE if said is None and status == ACCEPTED else _WHY.get(said, "")
        error = StatusError(
            f"HTTP {status}{why}{body}",
            status=status,
            retry_after=wait.retry_after,
            used_up=wait.used_up,
            reset_after=wait.reset_after,
            said=said,
        )
        if said is Said.PENDING:
            error.follow = lambda request: next_poll(request, response, other_origins=self._other_origins)
        return error
