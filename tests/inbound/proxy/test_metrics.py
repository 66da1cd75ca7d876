"""Every metric of a cache is in the reference."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from penstock.errors import UsageError
from penstock.inbound.proxy.metrics import families
from penstock.observe import exposition
from penstock.observe.exposition import Family
from penstock.testing import run_virtual

from .admin_tools import Shop

REFERENCE = Path(__file__).parents[3] / "docs" / "reference" / "metrics.md"


def test_every_metric_is_in_the_reference() -> None:
    """By the name that Prometheus has for it, and nothing is there that is not told."""

    async def main() -> list[Family]:
        return [*families(Shop().watched)]

    told = run_virtual(main())
    names = {f"{each.name}{'_total' if each.kind == 'counter' else ''}" for each in told}
    documented = set(re.findall(r"`(penstock_cache_\w+)", REFERENCE.read_text()))
    assert names == documented
    labels = {(each.name, each.label) for each in told if each.label}
    assert all(f"{name}_total{{{label}}}" in REFERENCE.read_text() for name, label in labels)


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names what to install."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"penstock-http\[prometheus\]"):
        exposition.exposition([])


def test_labels_are_escaped() -> None:
    """A kind or reason cannot break the text."""
    text = exposition.exposition([Family("penstock_x", "What.", "counter", {'a"b\n': 1.0}, "why")])
    assert b'penstock_x_total{why="a\\"b\\n"} 1.0' in text
