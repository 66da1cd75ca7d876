"""One stored response, and what it is charged with."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any

from ..errors import UsageError

SOFT = -1
DEAD = -2
_WHOLE = -1

_OBJECT_BYTES = 376
"""A StoredResponse (224), the float and the int of its own (64), its place in the dict of keys (60 to 120 as that
fills up between two resizes, and less just before one): what one more object takes besides what it points to."""


def pack_fields(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The fields as they go on the wire, `name: value CRLF` each: a fifth of the memory of a list of tuples.

    Raises UsageError for a field that would be read back as another: a name that is empty or holds a colon, or a CR,
    LF or NUL in either (RFC 9110, 5.5). So what is packed can be sent without another look.
    """
    pairs = list(fields)
    packed = b"".join(map(b"%b: %b\r\n".__mod__, pairs))
    count = len(pairs)
    if (
        packed.count(b"\r\n") != count
        or packed.count(b"\r") != count
        or packed.count(b"\n") != count
        or b"\0" in packed
    ):
        raise UsageError("a field to store holds a CR, LF or NUL, which is refused")
    names = dict(pairs)
    if b"" in names or b":" in b" ".join(names):
        raise UsageError("a field to store has a name that is not a token (RFC 9110, 5.1)")
    return packed


def unpack_fields(packed: bytes) -> list[tuple[bytes, bytes]]:
    """What `pack_fields` packed."""
    fields = []
    for line in packed.split(b"\r\n")[:-1]:
        name, _, value = line.partition(b": ")
        fields.append((name, value))
    return fields


class StoredResponse:
    """A response as it is kept, for one value of the request fields that it varies with.

    The first part is set by who stores it and is changed only through `MemoryStore.update`, for the store charges by
    it; `fields` is unpacked anew at each look. `received_at` is in seconds of a monotonic clock. `first_byte` and
    `total_length` say where the part of a stored 206 lies (`total_length` None: not known); for others they are 0
    and the length of the body. `sequence` is `MemoryStore.sequence()` from when the fetch BEGAN: a purge from then
    on concerns this response too. `codings`: what is known of the key's variants by content coding, for whoever looks
    for one; the last one that was stored speaks for the key.

    The second part is the store's. On the hot path, read:

    - `valid_at`: equal to `store.purges` means that it is in the store and that no purge concerns it: one compare.
      Anything else: ask `store.state(stored)`, which also renews it.
    - `version`: 0 outside a store. It is never the same again once the key has another variant, and that of `Variants`
      once one came that a request may select instead of an older one. So who remembers a Resource and its version
      knows without a look-up whether a choice among the variants still stands, as long as the chosen one is valid.
    - `alive`: True while it is in the store. What a purge made unusable is alive until it is met or collected.

    and set `visited = True` and `hits += 1` for each use, which is all that `store.touch` does. `wire` is set by
    `store.keep_wire` only, `wire_until` by anyone.
    """

    __slots__ = (
        "_part",
        "alive",
        "body",
        "codings",
        "freshness",
        "hits",
        "key",
        "newer",
        "older",
        "packed_fields",
        "place",
        "reason",
        "received_at",
        "sequence",
        "size",
        "status",
        "tags",
        "valid_at",
        "variant",
        "vary",
        "version",
        "visited",
        "wire",
        "wire_until",
    )

    def __init__(
        self,
        *,
        key: bytes,
        status: int,
        fields: Iterable[tuple[bytes, bytes]] | bytes,
        body: bytes,
        sequence: int,
        received_at: float,
        freshness: Any = None,
        reason: bytes = b"",
        vary: tuple[bytes, ...] = (),
        variant: bytes = b"",
        codings: tuple[Any, ...] = (),
        tags: tuple[bytes, ...] = (),
        first_byte: int = 0,
        total_length: int | None = _WHOLE,
    ) -> None:
        """`fields` may be packed already. Raises UsageError for fields that cannot be sent (see `pack_fields`)."""
        self.key = key
        self.vary = vary
        self.variant = variant
        self.codings = codings
        self.status = status
        self.reason = reason
        self.packed_fields = fields if isinstance(fields, bytes) else pack_fields(fields)
        self.body = body
        self._part = None if first_byte == 0 and total_length == _WHOLE else (first_byte, total_length)
        self.freshness = freshness
        self.received_at = received_at
        self.tags = tags
        self.sequence = sequence

        self.alive = False
        self.hits = 0
        self.visited = False
        self.valid_at = DEAD
        self.version = 0
        self.size = 0
        """Bytes that the store charges for it; 0 outside a store."""
        self.older: StoredResponse | None = None
        self.newer: StoredResponse | None = None
        self.place: Any = None
        """Its VariantPlace among the variants of its key, where that has had several; else None."""
        self.wire: bytes | None = None
        self.wire_until = 0.0
        """For whoever makes `wire`: until when it is right."""

    @property
    def fields(self) -> list[tuple[bytes, bytes]]:
        """The header fields as they came, unpacked."""
        return unpack_fields(self.packed_fields)

    @property
    def first_byte(self) -> int:
        """Where the body begins in the whole representation."""
        return 0 if self._part is None else self._part[0]

    @property
    def total_length(self) -> int | None:
        """Bytes of the whole representation, None if a 206 did not say."""
        if self._part is None or self._part[1] == _WHOLE:
            return len(self.body)
        return self._part[1]

    # What follows is for the one response of its key, as `Variants` has it for several.

    @property
    def vary_lists(self) -> Collection[tuple[bytes, ...]]:
        """What it varies with."""
        return (self.vary,)

    @property
    def evicted(self) -> int:
        """No variant of the key had to go."""
        return 0

    def find(self, vary: tuple[bytes, ...], variant: bytes) -> StoredResponse | None:
        """Itself, if it is this variant."""
        return self if variant == self.variant and vary == self.vary else None

    def matching(self, variants_of: Callable[[tuple[bytes, ...]], Sequence[bytes]]) -> Sequence[StoredResponse]:
        """Itself, if its variant is among `variants_of(names)`, for the names that it varies with."""
        return (self,) if not self.vary or self.variant in variants_of(self.vary) else ()

    def newest(self, most: int) -> list[StoredResponse]:
        """The `most` newest of the key."""
        return [self][:most]

    def __iter__(self) -> Iterator[StoredResponse]:
        return iter((self,))

    def __len__(self) -> int:
        return 1

    def __repr__(self) -> str:
        # A key can hold secrets in its query, and bodies are nobody's business.
        return f"<StoredResponse {self.status}, {len(self.body)} bytes, alive={self.alive}>"


def bytes_of(length: int) -> int:
    """What a bytes object of that length takes: 33 more, in steps of 16, and 8 of malloc above 512.

    (CPython 3.11 to 3.14 on 64 bits, with glibc. The empty one is shared.)
    """
    if length <= 479:
        return (length + 48) & ~15 if length else 0
    return (length + 56) & ~15


def charge(stored: StoredResponse, freshness_bytes: int) -> int:
    """Bytes that `stored` takes, without what it shares with others: reason, vary and tags."""
    size = _OBJECT_BYTES + freshness_bytes + bytes_of(len(stored.key)) + bytes_of(len(stored.variant))
    size += bytes_of(len(stored.packed_fields)) + bytes_of(len(stored.body))
    if stored.wire is not None:
        size += bytes_of(len(stored.wire))
    return size
