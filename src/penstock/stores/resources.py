"""What is stored, by its key: one response, or the variants of a key that has had several."""

from __future__ import annotations

from collections.abc import Callable

from .stored_response import StoredResponse
from .variants import Resource, Variants


class Resources:
    """The resources of a store, and their versions. `link` and `unlink` take a response in and out."""

    def __init__(self) -> None:
        self.by_key: dict[bytes, Resource] = {}
        self.get: Callable[[bytes], Resource | None] = self.by_key.get
        self.bytes_used = 0
        """What it takes to keep variants apart."""
        self._versions = 0

    def gather(self, alone: StoredResponse) -> Variants:
        """Make a resource of `alone` that can have more."""
        variants = Variants(alone.key)
        variants.add(alone)
        self.by_key[alone.key] = variants
        self.bytes_used += variants.overhead
        self._versions += 2
        # Who remembers it as the only one has to look again.
        alone.version, variants.version = self._versions - 1, self._versions
        return variants

    def link(self, stored: StoredResponse) -> None:
        """Take in a response, as the newest of its key, of which there is none of the same variant."""
        self._versions += 1
        stored.version = self._versions
        resource = self.by_key.get(stored.key)
        if resource is None:
            self.by_key[stored.key] = stored
            return
        variants = self.gather(resource) if isinstance(resource, StoredResponse) else resource
        # The dict keeps the bytes object of the first one: the others must not have one of their own.
        stored.key = variants.key
        before = variants.overhead
        alike = stored.vary in variants.tables and len(variants.tables) == 1 and stored.codings == variants.codings
        variants.add(stored)
        self.bytes_used += variants.overhead - before
        if not alike:
            # Requests may select one of each list, and of these the newest, or look for another coding.
            self._versions += 1
            variants.version = self._versions

    def unlink(self, stored: StoredResponse) -> None:
        """Take out a response that is in here."""
        stored.version = 0
        if stored.place is None:
            del self.by_key[stored.key]
            return
        variants: Variants = stored.place.variants
        before = variants.overhead
        variants.remove(stored.place)
        if variants.tables:
            self.bytes_used += variants.overhead - before
        else:
            self.bytes_used -= before
            variants.version = 0
            del self.by_key[stored.key]
