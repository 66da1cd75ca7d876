"""An HTTP/1.1 server on httptools and the event loop, for a cache in front of an origin."""

from .exchange import Handler, ServerExchange
from .limits import ServerLimits
from .listen import Server
from .rejected import RequestRejected
from .request_reader import RequestHead, RequestReader

__all__ = ["Handler", "RequestHead", "RequestReader", "RequestRejected", "Server", "ServerExchange", "ServerLimits"]
