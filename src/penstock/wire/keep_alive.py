"""What one origin has shown of the life of kept connections, and what follows for the next. No clock, no loop.

A server may close a connection at any time (RFC 9112, 9.5). One that does so right after an answer, and has not
said so, takes the next request with it: it is on its way when the close arrives. So connections rest after an
answer until the origin has shown that they live, and they are not used near the age at which others were closed.

An age is the time in seconds from the end of the last answer on a connection.
"""

from __future__ import annotations

import math

_FIRST_REST = 0.01
_SHORT_REST = 0.005
_LEAST_REST = 0.02
_LONGEST_REST = 0.3
# Closed at this age or before: such a server closes after answers. Later: it does not keep idle connections longer.
_YOUNG = 0.1
# How long others wait for what becomes of the first connection that is used again.
_PATIENCE = 0.1
# Each connection is used again so often on average before an origin is trusted, ...
_PROOFS_EACH = 16
# ... and so often in all where one was closed young.
_PROOFS_AFTER_DEATHS = 1000
# How much the latest death or proof counts in the share of those that are closed young.
_WEIGHT = 0.1
_NEARLY_ALL = 0.8
# How many connections rest at most while others are opened: these, and so many for each that is in use.
_FEW_RESTING = 16
_RESTING_EACH = 2
# The request needs time to get there: half of the age is left, or this many seconds where the age is long.
_MARGIN = 1.0
_LIVED_LONGER = 1.5
_OUTLIVED_ENOUGH = 3
_DEATHS_TO_TELL = 5
_SECONDS_TO_TELL = 1.0


class KeepAlive:
    """The rule of one origin. Its state is a few numbers, however many connections there were."""

    __slots__ = (
        "_closing_age",
        "_dying",
        "_first_death",
        "_outlived",
        "_proofs",
        "_rest",
        "_told",
        "_weighed",
        "_young_deaths",
        "deaths",
    )

    def __init__(self) -> None:
        self.deaths = 0
        """Connections that were closed by the peer without a word after they had carried an answer."""
        self._rest = _SHORT_REST
        self._proofs = 0
        self._young_deaths = 0
        self._first_death = 0.0
        self._told = 0
        # The share of connections that are closed young, the latest counting most.
        self._dying = 0.0
        self._weighed = 0
        self._closing_age = math.inf
        self._outlived = 0

    @property
    def trusted(self) -> bool:
        """Whether a connection may be used at once after an answer."""
        return not self._rest

    @property
    def suspected(self) -> bool:
        """Whether connections were closed young: others are then opened while these rest."""
        return not self.trusted and self._young_deaths > 0

    @property
    def untried(self) -> bool:
        """Whether no connection was used again so far: one goes first, and the others wait for what becomes of it."""
        return not self._proofs and not self.suspected

    def most_resting(self, in_use: int) -> float:
        """How many connections may rest while so many others are in use.

        One at a time where nearly all are closed young, to see whether the server was mended. No limit where nobody
        opens others meanwhile.
        """
        if self._nearly_all_die:
            return 1
        return _FEW_RESTING + _RESTING_EACH * in_use if self.suspected else math.inf

    @property
    def limit(self) -> float:
        """The age up to which a connection is used; infinite where none was seen to be closed for its age."""
        return max(self._closing_age / 2, self._closing_age - _MARGIN)

    def rest(self, *, first: bool = True) -> float:
        """The age from which a connection may be used. `first` where it is the first to be used again."""
        if self.untried:
            return _FIRST_REST if first else _PATIENCE
        return _LONGEST_REST if self._nearly_all_die else self._rest

    def proved(self, connections: int) -> None:
        """A connection, one of so many that are open, was used again with success."""
        self._proofs += 1
        self._weigh(0.0)
        if self._proofs >= self._proofs_wanted(connections):
            self._rest = 0.0

    def died(self, age: float, now: float, *, lost_request: bool = False) -> int:
        """The peer closed a connection of this age; `lost_request` where one was on its way.

        Returns how many that were closed young the user is now to be told of: none while it may have been a restart,
        then all so far, then each. `now` is on any clock that does not jump.
        """
        self.deaths += 1
        if age > _YOUNG:
            self._died_of_age(age, lost_request=lost_request)
            return 0
        if not self._young_deaths:
            self._first_death = now
        self._young_deaths += 1
        self._proofs = 0
        self._weigh(1.0)
        self._rest = min(max(self._rest, _LEAST_REST, 3 * age), _LONGEST_REST)
        if self._young_deaths < _DEATHS_TO_TELL or now - self._first_death < _SECONDS_TO_TELL:
            return 0
        untold, self._told = self._young_deaths - self._told, self._young_deaths
        return untold

    def worth_watching(self, age: float) -> bool:
        """Whether an idle connection of this age, too old for use, can still tell something about the limit."""
        return age < self._closing_age * _LIVED_LONGER and self._closing_age < math.inf

    def outlived(self, age: float) -> None:
        """A connection that was only watched was still open at this age."""
        if age >= self._closing_age * _LIVED_LONGER:
            self._outlived += 1
            if self._outlived >= _OUTLIVED_ENOUGH:
                self._closing_age = math.inf
                self._outlived = 0

    def _died_of_age(self, age: float, *, lost_request: bool) -> None:
        if age >= self._closing_age * _LIVED_LONGER:
            self.outlived(age)
            return
        self._outlived = 0
        lowered = self._closing_age * 0.7 if lost_request else math.inf
        self._closing_age = max(_YOUNG, min(self._closing_age, age, lowered))

    def _weigh(self, died: float) -> None:
        # At first the mean of all and of one that lived, so that one death is not nearly all.
        self._weighed += 1
        self._dying += (died - self._dying) * max(_WEIGHT, 1 / (self._weighed + 1))

    @property
    def _nearly_all_die(self) -> bool:
        return self._dying > _NEARLY_ALL

    def _proofs_wanted(self, connections: int) -> int:
        if self._young_deaths:
            return _PROOFS_AFTER_DEATHS
        return min(_PROOFS_AFTER_DEATHS, _PROOFS_EACH * max(1, connections))
