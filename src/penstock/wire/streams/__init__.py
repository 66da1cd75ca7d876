"""The client for answers that are passed on while they arrive: callbacks instead of a complete Response."""

from .client import StreamClient
from .exchange import StreamExchange
from .receiver import Receiver

__all__ = ["Receiver", "StreamClient", "StreamExchange"]
