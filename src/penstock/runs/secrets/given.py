"""What of the settings of a run came from the environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .token_command import TokenCommand


@dataclass(frozen=True, slots=True)
class Given:
    """What was `typed`, by the option it was given with, and the `values` of the variables in it, by their names.

    `token` is where the value of one of them came from, and where another is to be had.
    """

    typed: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict)
    token: TokenCommand | None = None


NOTHING_GIVEN = Given()
