"""What the options of `penstock proxy` ask for, and what it refuses before it starts."""

from __future__ import annotations

from typing import Any

import click
import pytest

from penstock.cli.main import run_command
from penstock.cli.proxy import proxy, read_settings
from penstock.errors import UsageError
from penstock.inbound.proxy.proxy import ProxySettings

ORIGIN = ("--origin", "http://127.0.0.1:8000")


def settings(*typed: str) -> ProxySettings:
    """As the command reads them. Raises UsageError."""
    context: click.Context = proxy.make_context("proxy", [*ORIGIN, *typed])
    found: dict[str, Any] = context.params
    return read_settings(found)


@pytest.mark.parametrize(
    ("typed", "targeted"),
    [
        ((), (b"cdn-cache-control",)),
        (("--no-targeted",), ()),
        (("--targeted", "Shop-Cache-Control"), (b"shop-cache-control",)),
        (
            ("--targeted", "A-Cache-Control", "--targeted", "CDN-Cache-Control"),
            (b"a-cache-control", b"cdn-cache-control"),
        ),
    ],
)
def test_which_targeted_fields_are_obeyed(typed: tuple[str, ...], targeted: tuple[bytes, ...]) -> None:
    assert settings(*typed).options.targeted == targeted


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (("--targeted", "A", "--no-targeted"), "exclude each other"),
        (("--targeted", "a b"), "write the name of a field"),
        (("--targeted", ""), "write the name of a field"),
        (("--targeted", "Cache-Control"), "are none"),
        (("--targeted", "café"), "write the name of a field"),
    ],
)
def test_what_cannot_be_meant_is_refused(typed: tuple[str, ...], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        settings(*typed)


def test_explain_takes_the_same_and_not_with_a_running_proxy(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["explain", "http://127.0.0.1:9/", "--admin", "http://127.0.0.1:9", "--no-targeted"]
    assert run_command(command) == 2
    assert "--no-targeted and --admin exclude each other" in capsys.readouterr().err
