"""Which id does the server give the vector at position n? Judged by a first sample of positions and ids.

Ids are the best witness of a census, but only where they tell positions: 17, "17", 18 (counted from 1) and
"doc-17" do; a UUID does not. Guessing wrong would call every vector WRONG, so an unclear sample is a refusal.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from .finding import Id
from .score_map import NotInferred

ID_SHARE = 0.75
"""Share of the sample that one rule must explain; the rest may be misses of the index."""

_NUMBERED = re.compile(r"(.*?)(0|[1-9][0-9]{0,17})", re.DOTALL)


@dataclass(frozen=True, slots=True)
class IdMap:
    """The id of the vector at position n is `prefix` + (n + `offset`), as a number or as text."""

    offset: int = 0
    prefix: str = ""
    is_text: bool = False

    def expected(self, position: int) -> Id:
        """The id of the vector at this 0-based position."""
        return f"{self.prefix}{position + self.offset}" if self.is_text else position + self.offset

    def position(self, hit_id: Id | None) -> int | None:
        """The position that an id names, None for an id of another kind."""
        parts = _split(hit_id)
        if parts is None or parts[1] != self.prefix or parts[2] < self.offset:
            return None
        return parts[2] - self.offset


def infer_id_map(sample: Sequence[tuple[int, Id | None]]) -> IdMap | NotInferred:
    """The map that explains most of `sample`: (0-based position asked for, id of the best hit)."""
    rules: Counter[IdMap] = Counter()
    for position, hit_id in sample:
        parts = _split(hit_id)
        if parts is not None:
            is_text, prefix, number = parts
            rules[IdMap(number - position, prefix, is_text)] += 1
    if rules:
        best, votes = rules.most_common(1)[0]
        # One vote of one fits any rule: two must agree unless there is only one vector.
        if votes >= ID_SHARE * len(sample) and (votes > 1 or len(sample) == 1):
            return best
    asked = [position for position, _ in sample[:3]]
    shown = ", ".join(repr(hit_id) for _, hit_id in sample[:3]) or "none"
    return NotInferred(
        f"the ids of the first hits do not tell positions in the file (positions {asked} gave {shown}): "
        "leave --id out to judge by similarity alone, or point it at a field that holds the position"
    )


def _split(hit_id: Id | None) -> tuple[bool, str, int] | None:
    if hit_id is None or isinstance(hit_id, bool):
        return None
    if isinstance(hit_id, int):
        return False, "", hit_id
    # Shortest prefix first, so that "doc-17" is doc- and 17; "doc-017" keeps its 0 in the prefix and fits no
    # rule.
    match = _NUMBERED.fullmatch(hit_id)
    return (True, match[1], int(match[2])) if match else None
