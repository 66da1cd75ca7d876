"""Is the credential dead? Refusals of the credential in a row, with no answer between them that shows it is good.

401 says so (RFC 9110, 15.5.2), 407 for a proxy (15.5.8), and 403 (15.5.4) where no sign of a limit explains it (see
`refusal`). One of them may be the item's own: the id of another tenant. Twenty in a row are hardly ever, and then the
rest of the input would be refused, too.

What shows that the credential is good: any other answer of the application. No answer at all shows nothing, nor does a
refusal for the sake of a limit, nor a gateway that did not reach the application.
"""

from __future__ import annotations

from .verdict import Classified, Verdict

USUAL = 20
"""So many in a row are no chance."""

AT_REST = 3
"""So many are, where nothing else can be asked before it is known what became of them: pages, of which the next are
asked for when these have come."""

DOUBT_SECONDS = 0.5
"""How long a session waits for its first answers before it sends more than would be enough to know. Whoever refuses a
credential does so at once; an API that takes longer for all it does must not be slowed down."""

_DENIALS = frozenset({401, 403, 407})
_RENEWABLE = 401
# Behind any other 5xx may be a gateway alone.
_OF_THE_APPLICATION = frozenset({500, 501})
_ANSWERS = frozenset({"accepted", "http_3xx", "http_4xx", "unexpected", "too_large", "bad_body"})


def is_denied(what: Classified) -> bool:
    """Whether an answer refuses the credential, or what the credential may do."""
    return what.kind == "http_4xx" and what.status in _DENIALS


def may_be_renewed(what: Classified) -> bool:
    """Whether an answer asks for another credential, and not for one that may do more."""
    return is_denied(what) and what.status == _RENEWABLE


def shows_good_credential(what: Classified) -> bool:
    """Whether whoever gave this answer had let the credential pass."""
    if is_denied(what):
        return False
    return what.verdict is Verdict.SUCCESS or what.kind in _ANSWERS or what.status in _OF_THE_APPLICATION


class Streak:
    """Refusals in a row, in the order of the answers; `most` of them end a run, 0: never.

    Until the first good answer, or until `trusted`, no more are sent than would be enough to know.
    """

    __slots__ = ("count", "most", "trusted")

    def __init__(self, most: int) -> None:
        self.count = 0
        self.most = most
        self.trusted = most == 0

    def denied(self) -> bool:
        """One more; whether that is enough."""
        self.count += 1
        return 0 < self.most <= self.count

    def passed(self) -> None:
        """The credential is good."""
        self.count = 0
        self.trusted = True

    def has_room(self, under_way: int) -> bool:
        """Whether `under_way` may be without an answer, all told."""
        return self.trusted or under_way + self.count <= self.most

    def is_enough_at_rest(self) -> bool:
        """Whether it is enough where all that could be asked was refused."""
        return self.count >= AT_REST

    def looks_slow(self) -> bool:
        """Whether, after DOUBT_SECONDS, it is the API that is slow: a dead credential would have shown."""
        return 2 * self.count < self.most
