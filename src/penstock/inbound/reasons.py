"""Why something was not stored or not shared, in words: the reasons of the rules, and those of the engine."""

from __future__ import annotations

from collections.abc import Mapping

from ..rules.caching.decisions import REASONS as RULES
from ..rules.caching.decisions import Decision

BYPASS = Decision(False, "policy-bypass", "policy file")
EVENT_STREAM = Decision(False, "event-stream", "engine")
TOO_LARGE = Decision(False, "too-large", "engine")
NO_ROOM = Decision(False, "no-room", "engine")
TOO_MANY_TAGS = Decision(False, "too-many-tags", "engine")
UNASKED_PART = Decision(False, "unasked-part", "RFC 9110, 15.3.7")
MUST_VALIDATE = Decision(False, "must-validate", "RFC 9111, 5.2.2.4")

REASONS: Mapping[str, str] = {
    **RULES,
    "event-stream": "It is a stream of events, which has no end.",
    "must-validate": "Each use must be confirmed by the origin: it is stored, but not shared between waiting clients.",
    "no-room": "Too many bytes of bodies were on their way at once to keep one more.",
    "policy-bypass": "The policy says bypass for this path.",
    "too-large": "It is larger than a single stored response may be.",
    "unasked-part": "It is a part (206), and the request asked for the whole.",
    "too-many-tags": "It has more tags than are kept; without some of them it could not be purged.",
}
"""Each reason in one sentence for people."""
