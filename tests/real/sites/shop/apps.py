"""Purges after a product is saved; `signals` is the module that docs/howto/django.md shows."""

from __future__ import annotations

import importlib

from django.apps import AppConfig


class ShopConfig(AppConfig):
    name = "shop"

    def ready(self) -> None:
        importlib.import_module("shop.signals")
