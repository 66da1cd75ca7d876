"""The id by which the access log and the app's own log find the same request (`X-Request-Id`)."""

from __future__ import annotations

import itertools
import os
import re

from ..cache.protocols import InboundRequest

FIELD = b"x-request-id"
_NAMES = frozenset({FIELD})
_SANE = re.compile(rb"[A-Za-z0-9._~:+/=@-]{1,128}")


def is_sane(said: bytes) -> bool:
    """Whether an id can be kept as it came: a word that breaks no line of any log."""
    return _SANE.fullmatch(said) is not None


class RequestIds:
    """`trust_forwarded`: clients are proxies of ours, whose ids are kept where they are sane.

    Anybody else could give one id to a thousand requests, or write what they like into the log. `seed` makes the ids of
    this process its own.
    """

    def __init__(self, *, trust_forwarded: bool = False, seed: bytes | None = None) -> None:
        self._trust = trust_forwarded
        self._seed = (os.urandom(8) if seed is None else seed).hex().encode()
        self._count = itertools.count(1)

    def take(self, request: InboundRequest) -> None:
        """Keep the id that `request` came with, or take it off."""
        said = request.fields.get(FIELD)
        if said is None:
            return
        if self._trust and is_sane(said):
            request.request_id = said
        else:
            request.take_off(_NAMES)

    def line(self, request: InboundRequest) -> bytes:
        """The field line that is to be added for the app; empty where it is among the fields already.

        The id is made here, so that what never reaches the app costs none.
        """
        if not request.request_id:
            request.request_id = b"%b%08x" % (self._seed, next(self._count))
        return b"" if FIELD in request.fields else b"X-Request-Id: %b\r\n" % request.request_id
