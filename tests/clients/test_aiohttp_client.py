"""What is aiohttp's own; what all clients share is in tests/contract."""

from __future__ import annotations

import builtins
import sys
from typing import Any

import pytest

from penstock.clients.aiohttp import AiohttpClient
from penstock.errors import UsageError


def test_without_aiohttp_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without_aiohttp(name: str, *args: Any, **options: Any) -> Any:
        if name == "aiohttp":
            raise ImportError(name)
        return real(name, *args, **options)

    monkeypatch.delitem(sys.modules, "aiohttp", raising=False)
    monkeypatch.setattr(builtins, "__import__", without_aiohttp)
    with pytest.raises(UsageError, match=r"penstock-http\[aiohttp\]"):
        AiohttpClient()


def test_repr_says_how_many_calls_are_under_way() -> None:
    assert repr(AiohttpClient()) == "<AiohttpClient 0 in use>"
