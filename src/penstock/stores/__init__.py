"""Places that keep responses for the shared cache."""

from .memory import MemoryStore
from .stored_response import Resource, StoredResponse

__all__ = ["MemoryStore", "Resource", "StoredResponse"]
