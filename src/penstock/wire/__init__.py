"""HTTP/1.1 on httptools and the event loop."""

from .client import Client, ClientStatistics
from .prepared import PreparedRequest

__all__ = ["Client", "ClientStatistics", "PreparedRequest"]
