"""What is likely to be a secret, by its name or by its looks."""

from __future__ import annotations

import re
from urllib.parse import unquote_plus

HIDDEN = "***"
"""What stands for a secret."""

_WORDS = {
    *("auth", "authorization", "bearer", "cookie", "credentials", "jwt", "key", "pass", "pwd"),
    *("secret", "session", "sid", "sig", "signature", "token"),
}
_PARTS = ("apikey", "token", "secret", "passw", "signature", "credential")
_RANDOM = re.compile(r"(?=.*[a-z])(?=.*[A-Z])(?=.*\d)[\w:.~+-]{20,}|[0-9a-fA-F]{32,}")


def is_secret_name(name: str) -> bool:
    """Whether a parameter of this name is likely to hold a secret: `api_key`, `accessToken`, `X-Amz-Signature`."""
    plain = unquote_plus(name)
    words = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", plain).lower()
    together = re.sub(r"[^a-z0-9]", "", words)
    return any(part in together for part in _PARTS) or not _WORDS.isdisjoint(re.findall(r"[a-z]+", words))


def looks_random(text: str) -> bool:
    """Whether it looks drawn by chance: 20 letters of both cases and digits, or 32 hexadecimal digits."""
    return _RANDOM.fullmatch(text) is not None
