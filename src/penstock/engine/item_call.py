"""The call of a run over items: it makes a request of an item, sends it, and reads the answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from ..call import AnyClient, Prepared, Req, Resp
from ..errors import CallError
from ..rules.secrets.values import NO_SECRETS, SecretValues

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
        self.ready = ready
        self._client = client
        self._read = read
        self._secrets = secrets
        self._listener: Listener | None = None

    def listen(self, listener: Listener | None) -> None:
        """From now on `listener` hears every answer."""
        self._listener = listener

    async def once(self, item: T) -> Resp:
        """Make the request of `item`, send it once, and read the answer."""
        answer = None
        try:
            request = self.request(item)
            if self._listener is None:
                answer = await self._client.once(request)
            else:
                sent = self._listener.now()
                answer = await self._client.once(request)
                self._listener.hear(answer, sent)
            return self._read(answer, item)
        except Exception as error:
            _make_fit(error, answer, self._secrets)
            raise

    async def prepare(self, item: T) -> PreparedItem[T, Raw, Resp]:
        """Make the request of `item` and do everything up to its send."""
        try:
            prepared = await self._client.prepare(self.request(item))
        except Exception as error:
            _make_fit(error, None, self._secrets)
            raise
        return PreparedItem(prepared, item, self._read, self._listener, self._secrets)


class PreparedItem(Generic[T, Raw, Resp]):
    """A prepared request together with the reading of its answer."""

    __slots__ = ("_item", "_listener", "_prepared", "_read", "_secrets")

    def __init__(
        self,
        prepared: Prepared[Raw],
        item: T,
        read: Callable[[Raw, T], Resp],
        listener: Listener | None,
        secrets: SecretValues = NO_SECRETS,
    ) -> None:
        self._prepared = prepared
        self._item = item
        self._read = read
        self._listener = listener
        self._secrets = secrets

    async def send(self) -> Resp:
        """Send now and read the answer; the listener hears it first."""
        answer = None
        try:
            if self._listener is None:
                answer = await self._prepared.send()
            else:
                sent = self._listener.now()
                answer = await self._prepared.send()
                self._listener.hear(answer, sent)
            return self._read(answer, self._item)
        except Exception as error:
            _make_fit(error, answer, self._secrets)
            raise

    def release(self) -> None:
        """Give back what was prepared; nothing is sent."""
        self._prepared.release()


def _make_fit(error: Exception, answer: object, secrets: SecretValues) -> None:
    """Make `error`, which may be kept for as long as the run, say no secret and how much it holds."""
    if answer is not None and isinstance(error, CallError):
        # Its traceback keeps the whole answer, for as long as the outcome waits.
        error.held_bytes = getattr(answer, "held_bytes", 0)
    secrets.mask_error(error)
