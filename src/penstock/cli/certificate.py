"""--cert and --key: loaded, and which of the two is wrong where they cannot be."""

from __future__ import annotations

import re
import ssl
from pathlib import Path

from ..errors import UsageError

_CERTIFICATE = re.compile(rb"-----BEGIN (?:[A-Z0-9]+ )?CERTIFICATE-----")
_KEY = re.compile(rb"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----")


def read_tls(cert: Path | None, key: Path | None) -> ssl.SSLContext | None:
    """The TLS context of --cert and --key. Raises UsageError for what cannot be read."""
    if cert is None:
        if key is not None:
            raise UsageError("--key needs --cert")
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1"])
    load_certificate(context, cert, key)
    return context


def load_certificate(context: ssl.SSLContext, cert: Path, key: Path | None) -> None:
    """Load it into `context`; new connections then use it. Raises UsageError."""
    if not _CERTIFICATE.search(_read("--cert", cert)):
        raise UsageError(f"--cert {cert}: there is no certificate in PEM in it")
    if key is None and not _KEY.search(_read("--cert", cert)):
        raise UsageError(f"--key is missing: {cert} holds a certificate and no key")
    if key is not None and not _KEY.search(_read("--key", key)):
        raise UsageError(f"--key {key}: there is no private key in PEM in it")
    try:
        context.load_cert_chain(cert, key)
    except (ssl.SSLError, OSError) as error:
        raise UsageError(_why_not(cert, key, error)) from None


def _read(option: str, file: Path) -> bytes:
    if not file.is_file():
        raise UsageError(f"{option} {file}: there is no such file")
    try:
        return file.read_bytes()
    except OSError as error:
        raise UsageError(f"{option} {file} cannot be read: {error.strerror}") from None


def _why_not(cert: Path, key: Path | None, error: OSError) -> str:
    holder = f"--cert {cert}" if key is None else f"--key {key}"
    if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
        return f"{holder}: the private key in it is not that of the certificate in {cert}"
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cert)
    except (ssl.SSLError, OSError):
        return f"--cert {cert}: the certificate in it is damaged ({error})"
    return f"{holder}: the private key in it cannot be used ({error})"
