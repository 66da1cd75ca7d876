"""The recorded list of passes, against which a run is gated: nothing that passed before may fail."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from .verdicts import GOOD

FOLDER = Path(__file__).parent / "expected"


def passes(found: Mapping[str, str]) -> list[str]:
    """The ids with a good verdict, sorted."""
    return sorted(test_id for test_id, verdict in found.items() if verdict in GOOD)


def record(name: str, found: Mapping[str, str]) -> Path:
    """Write the list of passes `name`."""
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{name}.json"
    path.write_text(json.dumps(passes(found), indent=0) + "\n")
    return path


def compare(name: str, found: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """What passed when `name` was recorded and does not now, and the other way round."""
    before = set(json.loads((FOLDER / f"{name}.json").read_text()))
    now = set(passes(found))
    return sorted(before - now), sorted(now - before)
