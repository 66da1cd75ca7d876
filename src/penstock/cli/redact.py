"""Take the secrets out of a command line, so that it can be kept and shown. All else stays as it was typed."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..rules.secrets.names import HIDDEN
from ..rules.secrets.places import in_body, in_header, in_pairs, in_url

_VALUED = ("--header", "--proxy", "--body", "--url", "--start", "--token-command")
_ENVIRONMENT = re.compile(r"\$\{\w+\}")
_REFERENCE = re.compile(r"\$\{\w+\}|\{\w[\w .-]*\}")


def redact(arguments: Sequence[str]) -> list[str]:
    """`arguments` without values of headers, passwords in URLs, and what is named like a secret in URLs and bodies.

    What looks like drawn by chance in a URL (20 letters of both cases and digits, 32 hexadecimal digits) goes too.

    `${ENV}` and `{field}` are references and no secrets; they stay, and so do harmless headers such as Accept.
    """
    kept: list[str] = []
    option = ""
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if option:
            kept.append(_value(option, argument))
            option = ""
        elif argument.startswith("--") and equals:
            kept.append(f"{name}={_value(name, value)}")
        elif argument in _VALUED:
            kept.append(argument)
            option = argument
        else:
            kept.append(_value("", argument))
    return kept


def _value(option: str, value: str) -> str:
    if option == "--header":
        return _header(value)
    if option == "--body":
        return in_body(value, _hidden)
    if option == "--token-command":
        # It may log in with anything; the name of a script is all that is surely none.
        return value if re.fullmatch(r"[\w./~-]+", value) else HIDDEN
    if option == "--start" and not value.isdecimal() and "/" not in value:
        # A token of a page may let anybody in who has it.
        return _hidden("", value)
    return in_url(value, _hidden) if option or "://" in value else in_pairs(value, _hidden)


def _header(header: str) -> str:
    name, colon, value = header.partition(":")
    # Without a colon it is no header, and will be refused; what it holds may be a secret all the same.
    return f"{name}:{in_header(name, value, _hidden_in_header)}" if colon else _hidden_in_header("", header)


def _hidden(name: str, value: str) -> str:
    """`value` if there is nothing in it but references, else what stands for a secret."""
    return _unless_only(_REFERENCE, value)


def _hidden_in_header(name: str, value: str) -> str:
    """The same, where no field is filled in."""
    return _unless_only(_ENVIRONMENT, value)


def _unless_only(references: re.Pattern[str], value: str) -> str:
    return value if re.fullmatch(r"[\s:,;._-]*", references.sub("", value)) else HIDDEN
