"""Why there is no connection, in words that people know."""

from __future__ import annotations

import errno
import os
import socket
import ssl

import pytest

from penstock.wire.reasons import reason_of, tls_reason_of


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ECONNREFUSED, "Connect call failed ('127.0.0.1', 9)"), "connection refused"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), "connection refused"),
        (OSError(errno.EHOSTUNREACH, "Connect call failed"), "no route to host"),
        (OSError(errno.EADDRINUSE, "error while attempting to bind on address ('127.0.0.1', 80): ..."), "in use"),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "Name or service not known"),
        (OSError("no number"), "no number"),
        (ConnectionResetError(), "ConnectionResetError"),
    ],
)
def test_a_number_is_said_in_the_systems_words(error: BaseException, words: str) -> None:
    """What asyncio makes of them repeats the address as a tuple of Python."""
    assert words in reason_of(error)
    assert "Connect call" not in reason_of(error)


def test_every_number_of_the_system_has_words() -> None:
    """No name of an error, and no sentence that begins in the middle of one."""
    for number in errno.errorcode:
        words = reason_of(OSError(number, "x"))
        assert words.lower() == os.strerror(number).lower()


def test_a_port_that_does_not_speak_tls_is_told_as_such() -> None:
    """`WRONG_VERSION_NUMBER` says it to those who know."""
    error = ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)")
    error.reason = "WRONG_VERSION_NUMBER"
    assert "http://" in tls_reason_of(error)
    assert "reset" in tls_reason_of(OSError(errno.ECONNRESET, "x"))
