"""The flights that are under way: who may join which, what they hold together, and what closes one.

A flight is a request to the origin whose answer several clients may share. Nobody can join any more when the answer
turns out not to be for all, or when who waited is answered with what was stored (`close`); when it turns out to vary,
but for those who ask for the same variant, if no other flight is open for them (`settle_vary`); when the URL or
anything that it could be tagged with is purged (`close_url`, `close_all`); and when nothing more is kept of it
(`over`). Nothing else closes a flight.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from ...rules.caching.cache_key import shared_variant
from ...rules.caching.codings import Choices
from ...rules.caching.decisions import Decision
from ...rules.caching.storing import may_keep
from ...stores.memory import MemoryStore
from ...stores.stored_response import StoredResponse, bytes_of
from .bounded_table import BoundedTable, share_of, short_key
from .flight import Flight
from .protocols import ClientReply, InboundRequest

_HINT_PART = 16
_MOST_HINTS = 65_536
_CHOICE_BYTES = 80


class VaryHint(NamedTuple):
    """What answers for a key depended on, and how the app chooses their coding."""

    names: tuple[bytes, ...]
    choices: Choices


class PlainFlight(Protocol):
    """A request to the origin that has no Flight as long as nobody needs one."""

    def inflate(self) -> object:
        """Make the flight, and `open` it if this one was in `Flights.plain`; take it out of there."""
        ...


class Flights:
    """The flights of one engine that others may join, and what all of them hold; it is their Room.

    `store`: a body that is longer than it takes is not kept, nor one more where those on their way take a quarter of
    its budget together. `max_refreshes`: how many flights nobody may have asked for at once.
    """

    def __init__(self, store: MemoryStore, max_refreshes: int) -> None:
        self.held = 0
        """Bytes of bodies on their way that are kept to be stored."""
        self.vary_hints = BoundedTable[VaryHint](store, share_of(store, _HINT_PART), _MOST_HINTS, _bytes_of_hint)
        """What the answers for a key depended on when one was last seen, so that only equals wait for each other."""
        self._hints = self.vary_hints.entries
        self._joinable: dict[bytes, Flight] = {}
        """By what they answer."""
        self.find = self._joinable.get
        """The flight that a request with this flight key may join, if there is one."""
        self.plain: dict[bytes, PlainFlight] = {}
        """Those under way without a Flight that others may join, by key; to be changed by who begins and ends them.

        Who looks for a flight calls `inflate` first. A purge takes them out, so that nobody joins.
        """
        self._held_by: dict[Flight, int] = {}
        self._refreshes: set[Flight] = set()
        self._max_object_bytes = store.max_object_bytes
        self._most_held = store.max_bytes // 4
        self._max_refreshes = max_refreshes

    def key_of(
        self,
        request: InboundRequest,
        key: bytes,
        stored: StoredResponse | None,
        variant: bytes | None = None,
        *,
        whole: bool = False,
    ) -> bytes:
        """Equal for requests that one answer can serve, as far as that is known beforehand.

        `variant`: of the answer, where that is there; one that is only for these words is the key of no request.
        `whole`: with nothing stored the origin is asked for the whole, whatever the range.
        """
        # Seldom, so most requests need no digest of their key.
        hint = self._hints.get(short_key(key)) if self._hints else None
        if hint is not None:
            key = key + b"\0v" + (variant or shared_variant(hint.names, request.fields, hint.choices))
        if stored is None and not whole and b"range" in request.fields:
            # The range goes to the origin as it is, and its answer fits only the same range.
            key = b"%b\0r%b\0%b" % (key, request.fields[b"range"], request.fields.get(b"if-range", b""))
        elif stored is not None and stored.status == 206:
            # What confirms a part is no answer for who wants the whole.
            key += b"\0p"
        return key

    def varies(self, key: bytes) -> bool:
        """Whether the answers for `key` depended on more than the URL."""
        return short_key(key) in self._hints

    def inflate(self, key: bytes) -> None:
        """Where what is under way for `key` is a plain one, make the flight that can be joined of it."""
        plain = self.plain.get(key)
        if plain is not None:
            plain.inflate()

    def is_full(self) -> bool:
        """Whether no further body could be kept, however short it is."""
        return self.held > self._most_held

    def under_way(self, key: bytes) -> int:
        """How many flights for the URL `key` can be joined."""
        return (key in self.plain) + sum(flight.key == key for flight in self._joinable.values())

    def may_refresh(self, flight_key: bytes) -> bool:
        """Whether a stale answer is to be followed by a flight of its own: not where one is on its way already."""
        on_its_way = flight_key in self._joinable or flight_key in self.plain
        return not on_its_way and len(self._refreshes) < self._max_refreshes

    def open(self, flight: Flight, *, refresh: bool) -> None:
        """Let others join. `refresh`: nobody has asked for it, it follows a stale answer."""
        self._joinable[flight.flight_key] = flight
        if refresh:
            self._refreshes.add(flight)

    def join(self, flight_key: bytes, request: InboundRequest, reply: ClientReply) -> None:
        """One more client for the flight that `find` finds."""
        self._joinable[flight_key].join(request, reply, collapsed=True)

    def hold(self, flight: Flight, size: int) -> Decision | None:
        """Count `size` more bytes that `flight` keeps; says why it may keep them no longer, where that is so."""
        self.held += size
        mine = self._held_by[flight] = self._held_by.get(flight, 0) + size
        return may_keep(flight.size, self._max_object_bytes, held_by_others=self.held - mine, most_held=self._most_held)

    def close(self, flight: Flight) -> bool:
        """Let nobody join any more; False where nobody could."""
        if self._joinable.get(flight.flight_key) is not flight:
            return False
        del self._joinable[flight.flight_key]
        return True

    def choices_of(self, key: bytes) -> Choices:
        """What is known of the codings that the app chooses for `key`."""
        hint = self._hints.get(short_key(key)) if self._hints else None
        return () if hint is None else hint.choices

    def settle_vary(self, flight: Flight, storing: StoredResponse) -> None:
        """Now that it is known what the answer depends on: leave it open to those who ask for the same variant."""
        vary = storing.vary
        if vary or self._hints:
            self._remember(short_key(flight.key), VaryHint(vary, storing.codings))
        if not vary and flight.flight_key == flight.key:
            return
        # One that a purge has closed stays closed: who comes now must not get what was asked for before.
        if self.close(flight):
            flight.flight_key = self.key_of(
                flight.request, flight.key, flight.stale, storing.variant, whole=flight.whole
            )
            self._joinable.setdefault(flight.flight_key, flight)

    def _remember(self, key: bytes, hint: VaryHint) -> None:
        if not hint.names:
            self.vary_hints.drop(key)
        elif self._hints.get(key) != hint:
            self.vary_hints.keep(key, hint)

    def close_url(self, key: bytes) -> None:
        """A URL was purged: what is on its way was asked for before, so nobody joins it any more."""
        self.plain.pop(key, None)
        for flight in [flight for flight in self._joinable.values() if flight.key == key]:
            self.close(flight)

    def close_all(self) -> None:
        """A tag or everything was purged; which tags an answer has is not known before it comes."""
        self.plain.clear()
        self._joinable.clear()

    def over(self, flight: Flight) -> None:
        """Nothing more is kept of it, and nobody can join any more."""
        self.close(flight)
        self.held -= self._held_by.pop(flight, 0)
        self._refreshes.discard(flight)

    @property
    def refreshing(self) -> int:
        """How many are under way that nobody has asked for."""
        return len(self._refreshes)

    def __iter__(self) -> Iterator[Flight]:
        """Those that can be joined."""
        for plain in [*self.plain.values()]:
            plain.inflate()
        return iter(self._joinable.values())

    def __len__(self) -> int:
        return len(self._joinable) + len(self.plain)

    def __repr__(self) -> str:
        return f"<Flights {len(self)} open, {self.refreshing} refreshing, {self.held:,} bytes held>"


def _bytes_of_hint(hint: VaryHint) -> int:
    """What a VaryHint takes; most have one tuple for all that say the same, which is not counted on."""
    names = 64 + sum(8 + bytes_of(len(name)) for name in hint.names)
    return 64 + names + (64 + _CHOICE_BYTES * len(hint.choices) if hint.choices else 0)
