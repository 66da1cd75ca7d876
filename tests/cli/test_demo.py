"""What `penstock demo` says of what it has found; the demo itself is `make demo`."""

from __future__ import annotations

import pytest

from penstock.cli.demo.stage import Check, judge, limit_checks

BUSY = "it shares this machine, which was busy"


def said(capsys: pytest.CaptureFixture[str]) -> str:
    """What was told, as one line."""
    return " ".join(capsys.readouterr().err.split())


def test_a_limit_that_was_kept_is_told_with_what_was_counted(capsys: pytest.CaptureFixture[str]) -> None:
    """And nothing is explained away."""
    assert judge(limit_checks([0.0, 0.5, 0.9, 1.1], 3, 0), evidence="the log")
    text = said(capsys)
    assert "ok no more than 3 arrivals in any second, the kill included (3)" in text
    assert "ok nothing refused for being over the limit (0 were)" in text
    assert BUSY not in text


def test_a_limit_that_was_not_kept_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    """It said `NOT  at most 610 arrivals in any second, where 600 were allowed`, without a word on why."""
    assert not judge(limit_checks([0.0, 0.5, 0.9, 1.1], 2, 1), evidence="the log")
    text = said(capsys)
    assert "NOT: no more than 2 arrivals in any second, the kill included (3)" in text
    assert "NOT: nothing refused for being over the limit (1 were)" in text
    assert BUSY in text
    assert "--guard" in text


def test_a_row_that_is_missing_is_not_the_machines_fault(capsys: pytest.CaptureFixture[str]) -> None:
    """Only what is a matter of time can be."""
    assert not judge([Check("every row is there", "3 of 12 are missing", fine=False)], evidence="the log")
    text = said(capsys)
    assert "NOT: every row is there (3 of 12 are missing)" in text
    assert BUSY not in text
