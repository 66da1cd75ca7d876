"""The end of `penstock explain`, what to write, and what the policy did."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def policy_lines(found: dict[str, Any]) -> Iterator[str]:
    """The entry that holds, where it stands, and what it took away or added."""
    if found["policy"] is None:
        return
    place = f" [{found['policy_at']}]" if found["policy_at"] != found["policy"] else ""
    yield f"policy    {found['policy']}{place}"
    for each in found["policy_did"]:
        at = f" [{each['at']}]" if place else ""
        yield f"  {each['key']}: {each['what']}{at}"


def advice_parts(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Sentences, each with the lines to copy that belong to it."""
    for each in found["to_store"]:
        yield f"to store it: {each['sentence']} [{each['reason']}]", "".join(_copied(each))
    for each in found.get("vary", {}).get("missing", ()):
        yield f"careful: {each['sentence']}", "".join(_copied(each))


def _copied(advice: dict[str, Any]) -> Iterator[str]:
    for name in ("header", "django", "fastapi"):
        if advice[name]:
            yield f"  {name:<8}{advice[name]}\n"
    if advice.get("option"):
        yield f"  {'option':<8}{advice['option']}\n"
    if advice.get("policy"):
        if advice["policy_at"]:
            yield f"  {'policy':<8}# in the entry at {advice['policy_at']}\n"
        for number, line in enumerate(advice["policy"].split("\n")):
            label = "policy" if not number and not advice["policy_at"] else ""
            yield f"  {label:<8}{line}\n"
