"""Why there is no connection, in the system's words and not in Python's: `connection refused`."""

from __future__ import annotations

import os
import socket
import ssl


def reason_of(error: BaseException | None) -> str:
    """Of an error of the operating system what its number means, of any other its text."""
    # asyncio puts a text with the address into the error of connect and of bind; what it means is in the number alone.
    # Name resolution has numbers of its own, and OpenSSL's are no numbers of the system.
    own = isinstance(error, (socket.gaierror, ssl.SSLError))
    number = error.errno if isinstance(error, OSError) and not own else None
    if number is not None and number > 0:
        text = os.strerror(number)
        # "Connection refused" stands in the middle of a sentence; "I/O" does not become smaller.
        return text if text[:2].isupper() or text[1:2] == "/" else text[:1].lower() + text[1:]
    return (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__


def tls_reason_of(error: BaseException | None) -> str:
    """Why the handshake failed, and what to do where that can be told."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate refused: {error.verify_message}"
    reason = (isinstance(error, ssl.SSLError) and getattr(error, "reason", None)) or reason_of(error)
    if reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"):
        return "what answers there does not speak TLS; if it speaks plain HTTP, write http://"
    return str(reason)
