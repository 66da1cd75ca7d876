"""The call of `penstock send`."""

from __future__ import annotations

from collections.abc import Callable

from ..call import AnyClient, Resp
from ..engine.item_call import ItemCall
from ..messages import Request, Response
from ..rules.secrets.values import NO_SECRETS, SecretValues
from .records import Record
from .request_template import RequestBuilder


def http_call(
    client: AnyClient[Request, Response],
    builder: RequestBuilder,
    interpret: Callable[[Response, Record], Resp],
    secrets: SecretValues = NO_SECRETS,
) -> ItemCall[Record, Request, Response, Resp]:
    """The call of a run over records: build, send, interpret."""
    return ItemCall(client, builder.build, interpret, lambda record: client.ready_for(builder.origin), secrets)
