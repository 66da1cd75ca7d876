"""Places that keep responses for the shared cache."""

from .memory import MemoryStore
from .stored_response import StoredResponse
from .variants import Resource

__all__ = ["MemoryStore", "Resource", "StoredResponse"]
