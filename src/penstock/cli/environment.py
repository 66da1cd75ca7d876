"""`${NAME}` in what the user typed: filled in from the environment, written as its place asks for.

What was typed is kept beside the values: a run is compared and shown by it, so that it goes on with a new value.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from urllib.parse import quote

from ..errors import UsageError
from ..fields import check_field
from ..rules.template import placeholders
from ..runs.secrets.given import Given
from ..runs.secrets.token_command import TOKEN, TokenCommand

_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_BARE = re.compile(r"\$([A-Z_][A-Z0-9_]+)(?![A-Za-z0-9_])")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*', re.DOTALL)

Write = Callable[[str, str, str], str]
"""(what stands before, the value, what comes after) -> the value as it is written there."""


class Environment:
    """Fills in references to `variables`, and remembers them. `token` is what one of them came from.

    Each method raises UsageError, which never shows a value, for a variable that is not there, and for `$NAME`, which
    the shell has left as it is and no API wants.
    """

    def __init__(self, variables: Mapping[str, str], token: TokenCommand | None = None) -> None:
        self._variables = variables
        self._token = token
        self._typed: dict[str, str] = {}
        self._values: dict[str, str] = {}

    def given(self, **typed: str) -> Given:
        """All that was filled in so far. Raises UsageError where a token was fetched that stands nowhere."""
        if self._token is not None and TOKEN not in self._values:
            raise UsageError(
                f"--token-command: what it prints is ${{{TOKEN}}}, which stands nowhere; write --header "
                f"'Authorization: Bearer ${{{TOKEN}}}'"
            )
        return Given(self._typed | typed, dict(self._values), self._token)

    def header(self, text: str) -> tuple[str, str]:
        """`Name: value`, as both."""
        name, colon, value = text.partition(":")
        name = name.strip()
        if not colon or not name:
            # It may be nothing but a secret, so it is not shown.
            raise UsageError("--header: write 'Name: value'")
        option = f"--header {name}"
        self._refuse_bare(option, value)
        filled = self._fill(option, value.strip(), lambda before, value, after: value)
        check_field(name, filled)
        return name, filled

    def text(self, option: str, text: str) -> str:
        """Values as they are."""
        self._keep(option, text)
        self._refuse_bare(option, text)
        return self._fill(option, text, lambda before, value, after: value)

    def url(self, option: str, text: str) -> str:
        """Values percent-encoded, so that none can change what is a parameter; `/` stays in a path.

        One in the place of scheme and host is taken as it is: it may be all of the address that an API has.
        """
        self._keep(option, text)
        self._refuse_bare(option, text)
        return self._fill(option, text, _in_url)

    def body(self, option: str, text: str, content_type: str | None = None) -> str:
        """Values as the content type writes them: inside the strings of JSON, in a form, and as they are in text."""
        self._keep(option, text)
        # A body may have dollars of its own, as GraphQL does.
        self._refuse_bare(option, text, known_only=True)
        kind = (content_type or "json").lower()
        write = _in_json if "json" in kind else _in_form if "form-urlencoded" in kind else _as_it_is

        def write_checked(before: str, value: str, after: str) -> str:
            if placeholders(value):
                raise UsageError(
                    f"{option}: a value from the environment has a part in braces, which a field would fill"
                )
            return write(before, value, after)

        return self._fill(option, text, write_checked)

    def _keep(self, option: str, text: str) -> None:
        self._typed[option] = text

    def _fill(self, option: str, text: str, write: Write) -> str:
        filled, end = "", 0
        for match in _REFERENCE.finditer(text):
            name = match[1]
            if name not in self._variables:
                raise UsageError(f"{option}: the environment has no {name}")
            self._values[name] = self._variables[name]
            filled += text[end : match.start()]
            filled += write(filled, self._variables[name], text[match.end() :])
            end = match.end()
        return filled + text[end:]

    def _refuse_bare(self, option: str, text: str, *, known_only: bool = False) -> None:
        for match in _BARE.finditer(text):
            if not known_only or match[1] in self._variables:
                raise UsageError(
                    f"{option}: ${match[1]} would be sent as it is; write ${{{match[1]}}} for the variable of the "
                    "environment"
                )


def _as_it_is(before: str, value: str, after: str) -> str:
    return value


def _in_url(before: str, value: str, after: str) -> str:
    if "?" in before or "#" in before:
        return quote(value, safe="")
    if "/" in before.partition("://")[2] or (before and "://" not in before and "/" in before):
        return quote(value, safe="/")
    # A password may hold what ends it.
    return quote(value, safe="") if "@" in re.split("[/?#]", after, maxsplit=1)[0] else value


def _in_json(before: str, value: str, after: str) -> str:
    rest = re.sub(_STRING.pattern + '"', "", before, flags=re.DOTALL)
    return json.dumps(value, ensure_ascii=False)[1:-1] if '"' in rest else value


def _in_form(before: str, value: str, after: str) -> str:
    return quote(value, safe="")
