"""The call of a census: send one query, read score and id from the answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from ...answers.conditions import UNREAD
from ...answers.rules import AnswerRules
from ...call import AnyClient, Resp
from ...engine.item_call import ItemCall
from ...errors import BadBody, InputError
from ...messages import Headers, Request, Response
from ...rules.secrets.values import NO_SECRETS, SecretValues
from ..interpreter import quote_body
from .queries import Query


def search_call(
    client: AnyClient[Request, Response],
    *,
    method: str,
    url: str,
    headers: Headers,
    answers: AnswerRules,
    read: Callable[[Any, Query], Resp],
    secrets: SecretValues = NO_SECRETS,
) -> ItemCall[Query, Request, Response, Resp]:
    """`client` sends; `read` makes of the JSON of an answer, and its query, what the outcome's value is to be.

    `answers` says which answers are failures. Raises, for the one query, InputError for a vector that cannot be asked
    for, StatusError, and BadBody for what is not JSON.
    """

    def request(query: Query) -> Request:
        if query.problem:
            raise InputError(f"vector {query.position} {query.problem}")
        return Request(method, url, headers, query.body)

    def read_response(response: Response, query: Query) -> Resp:
        answer = answers.admit(response, _parse)
        return read(_parse(response) if answer is UNREAD else answer, query)

    return ItemCall(client, request, read_response, lambda query: client.ready_for(url), secrets)


def _parse(response: Response) -> Any:
    try:
        return orjson.loads(response.body)
    except orjson.JSONDecodeError:
        return _with_nan(response)


def _with_nan(response: Response) -> Any:
    """JSON as some servers write it, with NaN in the place of a number: an answer, and a finding about the index."""
    import json

    try:
        return json.loads(response.body)
    except ValueError as error:
        raise BadBody(f"the answer is not JSON: {quote_body(response.body)}") from error
