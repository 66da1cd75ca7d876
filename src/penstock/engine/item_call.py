"""The call of a run over items: it makes a request of an item, sends it, and reads the answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from ..call import AnyClient, Prepared, Req, Resp
from ..errors import CallError
from ..rules.secrets.values import NO_SECRETS, SecretValues
from .renewable import Renewable

T = TypeVar("T")
Raw = TypeVar("Raw")


class Listener(Protocol):
    """Hears every answer as it came, before anything is made of it."""

    def now(self) -> float:
        """Seconds on the clock of the run."""
        ...

    def hear(self, answer: Any, sent: float, /) -> None:
        """An answer has just come to a call sent at `sent`."""
        ...


class PolledItem:
    """An item whose request the peer has taken: `request` asks how far it is, in the place of the item's own."""

    __slots__ = ("item", "request")

    def __init__(self, item: Any, request: Any) -> None:
        self.item = item
        self.request = request


class ItemCall(Generic[T, Req, Raw, Resp]):
    """The Preparable of a run: `client` sends what `request` makes of an item, and `read` makes a value of the answer.

    `request` and `read` raise what the outcome of the item is to say. `ready` is that of Preparable: it can be asked of
    the client without making a request first. `secrets` are taken out of the text of whatever is raised, so that no
    outcome, and nothing that is made of one, holds what a peer has said again.
    """

    def __init__(
        self,
        client: AnyClient[Req, Raw],
        request: Callable[[T], Req],
        read: Callable[[Raw, T], Resp],
        ready: Callable[[T], bool],
        secrets: SecretValues = NO_SECRETS,
    ) -> None:
        self.request = request
        self.prepares = client.prepares
        self._ready = ready
        self._client = client
        self._read = read
        self._secrets = secrets
        self._credential: Renewable | None = None
        self._listener: Listener | None = None

    def listen(self, listener: Listener | None) -> None:
        """From now on `listener` hears every answer."""
        self._listener = listener

    def renew_with(self, credential: Renewable | None) -> None:
        """From now on every request takes `credential` along as it is then."""
        self._credential = credential

    @property
    def generation(self) -> int | None:
        """Of the credential that a request which is made now takes along."""
        return None if self._credential is None else self._credential.generation

    def ready(self, item: T) -> bool:
        """Whether it would be sent at once."""
        if isinstance(item, PolledItem):
            return self._client.ready(item.request)
        return self._ready(item)

    async def once(self, item: T) -> Resp:
        """Make the request of `item`, send it once, and read the answer."""
        request: Req | None = None
        answer: Raw | None = None
        generation = self.generation
        try:
            request = self._request_of(item)
            if self._listener is None:
                answer = await self._client.once(request)
            else:
                sent = self._listener.now()
                answer = await self._client.once(request)
                self._listener.hear(answer, sent)
            return self.read(answer, item)
        except Exception as error:
            self.make_fit(error, item, request, answer, generation)
            raise

    async def prepare(self, item: T) -> PreparedItem[T, Req, Raw, Resp]:
        """Make the request of `item` and do everything up to its send."""
        request: Req | None = None
        generation = self.generation
        try:
            request = self._request_of(item)
            prepared = await self._client.prepare(request)
        except Exception as error:
            self.make_fit(error, item, request, None, generation)
            raise
        return PreparedItem(self, item, request, prepared, self._listener, generation)

    def read(self, answer: Raw, item: T) -> Resp:
        """Make a value of the answer for `item`. Raises CallError, to be made fit."""
        return self._read(answer, item.item if isinstance(item, PolledItem) else item)

    def make_fit(
        self, error: Exception, item: T, request: Req | None, answer: Raw | None, generation: int | None
    ) -> None:
        """Make `error`, which may be kept long, say no secret, how much it holds, and what to ask next."""
        if answer is not None and isinstance(error, CallError):
            # Its traceback keeps the whole answer, for as long as the outcome waits.
            error.held_bytes = getattr(answer, "held_bytes", 0)
            error.generation = generation
            question = None if error.follow is None else error.follow(request)
            if question is not None:
                error.instead = PolledItem(item.item if isinstance(item, PolledItem) else item, question)
        self._secrets.mask_error(error)

    def _request_of(self, item: T) -> Req:
        request: Req = item.request if isinstance(item, PolledItem) else self.request(item)
        return request if self._credential is None else self._credential.fill(request)


class PreparedItem(Generic[T, Req, Raw, Resp]):
    """A prepared request together with the reading of its answer."""

    __slots__ = ("_call", "_generation", "_item", "_listener", "_prepared", "_request")

    def __init__(
        self,
        call: ItemCall[T, Req, Raw, Resp],
        item: T,
        request: Req,
        prepared: Prepared[Raw],
        listener: Listener | None,
        generation: int | None,
    ) -> None:
        self._generation = generation
        self._call = call
        self._item = item
        self._request = request
        self._prepared = prepared
        self._listener = listener

    async def send(self) -> Resp:
        """Send now and read the answer; the listener hears it first."""
        answer: Raw | None = None
        try:
            if self._listener is None:
                answer = await self._prepared.send()
            else:
                sent = self._listener.now()
                answer = await self._prepared.send()
                self._listener.hear(answer, sent)
            return self._call.read(answer, self._item)
        except Exception as error:
            self._call.make_fit(error, self._item, self._request, answer, self._generation)
            raise

    def release(self) -> None:
        """Give back what was prepared; nothing is sent."""
        self._prepared.release()
