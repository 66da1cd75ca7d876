"""The command of `--token-command`: what it prints is `${TOKEN}`, and it is run again when a server takes that no more.

Requests are made with the first token, as everything else of a run is; what is sent has the latest in its place.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from urllib.parse import quote, quote_plus

from ...errors import UsageError
from ...fields import check_field
from ...messages import Headers, Request
from ...rules.secrets.values import LEAST, NO_SECRETS, Secret, SecretValues
from .token_process import output_of

TOKEN = "TOKEN"  # noqa: S105  # the name of the variable
"""The variable that the command prints."""


class TokenCommand:
    """`command`, run without a shell, and the tokens it has printed. `secrets` are taken out of what it says."""

    def __init__(self, command: str, secrets: SecretValues = NO_SECRETS) -> None:
        self.generation = -1
        self.issued: list[Secret] = []
        """Every token so far, for whoever masks texts."""
        self._command = command
        self._secrets = secrets
        self._latest_headers: tuple[Headers, Headers] | None = None

    @classmethod
    async def first(cls, command: str, secrets: SecretValues = NO_SECRETS) -> TokenCommand:
        """With its first token. Raises UsageError for a command that prints none."""
        token = cls(command, secrets)
        await token.renew()
        return token

    @property
    def value(self) -> str:
        """The latest token."""
        return self.issued[-1].value

    async def renew(self) -> None:
        """Run the command. Raises UsageError, which says why, where it fails, hangs, or prints no token."""
        try:
            value = (await output_of(self._command)).strip()
        except UsageError as error:
            known = SecretValues(self.issued)
            raise UsageError(known.mask(self._secrets.mask(f"--token-command: {error}"))) from None
        _check(value)
        self.issued.append(Secret(f"${{{TOKEN}}}", value))
        self.generation += 1
        self._latest_headers = None

    def fill(self, request: Request) -> Request:
        """`request` with the latest token in the place of any that came before."""
        if self.generation == 0:
            return request
        kind = (request.headers.get("content-type") or "").lower()
        write = _in_json if "json" in kind else _in_form if "form-urlencoded" in kind else _as_it_is
        body = request.body and self._replaced(request.body.decode("utf-8", "surrogateescape"), write).encode(
            "utf-8", "surrogateescape"
        )
        return Request(request.method, self._replaced(request.url, _in_form), self._headers(request.headers), body)

    def _headers(self, headers: Headers) -> Headers:
        # Most requests of a run share theirs, and a client encodes an object once.
        if self._latest_headers is None or self._latest_headers[0] is not headers:
            filled = Headers([(name, self._replaced(value, _as_it_is)) for name, value in headers])
            self._latest_headers = headers, filled
        return self._latest_headers[1]

    def _replaced(self, text: str, write: Callable[[str], str]) -> str:
        new = write(self.value)
        for old in self.issued[:-1]:
            # A server may write a URL of its own, which holds what it was sent, in another way.
            spelt = dict.fromkeys((write(old.value), old.value, quote(old.value, safe="/"), quote_plus(old.value)))
            for each in sorted(spelt, key=len, reverse=True):
                if each in text:
                    text = re.sub(f"(?<![A-Za-z0-9]){re.escape(each)}(?![A-Za-z0-9])", lambda _: new, text)
        return text


def _check(value: str) -> None:
    if len(value) < LEAST or not value.isprintable() or not value.isascii():
        what = "nothing" if not value else "several lines" if "\n" in value else "what is no token"
        raise UsageError(f"--token-command: it printed {what}; it is to print the token on one line, and nothing else")
    check_field("Authorization", value)


def _as_it_is(value: str) -> str:
    return value


def _in_form(value: str) -> str:
    return quote(value, safe="")


def _in_json(value: str) -> str:
    return json.dumps(value)[1:-1]
