"""What a site is deployed with, on top of the settings that its start project came with. Copied beside manage.py."""

from __future__ import annotations

import importlib
import os
from typing import Any

_START: dict[str, Any] = vars(importlib.import_module(os.environ["TRIAL_START_SETTINGS"]))
globals().update({name: value for name, value in _START.items() if name.isupper()})

DEBUG = False
SECRET_KEY = "trial"
ALLOWED_HOSTS = ["127.0.0.1"]
INSTALLED_APPS = [*_START["INSTALLED_APPS"], *filter(None, os.environ.get("TRIAL_APPS", "").split(","))]
MIDDLEWARE = list(_START["MIDDLEWARE"])
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# Two workers write at once.
_OPTIONS = {
    "timeout": 30,
    "transaction_mode": "IMMEDIATE",
    "init_command": "PRAGMA synchronous=OFF; PRAGMA journal_mode=WAL",
}
DATABASES = {"default": _START["DATABASES"]["default"] | {"OPTIONS": _OPTIONS}}
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
LOGIN_REDIRECT_URL = "/account/"
PENSTOCK_ADMIN = os.environ.get("PENSTOCK_ADMIN", "")
PENSTOCK_ADMIN_TOKEN = os.environ.get("PENSTOCK_ADMIN_TOKEN", "")

if "shop" in INSTALLED_APPS:
    MIDDLEWARE.insert(
        MIDDLEWARE.index("django.middleware.common.CommonMiddleware"), "django.middleware.locale.LocaleMiddleware"
    )
    LANGUAGES = [("de", "Deutsch"), ("en", "English")]
    LANGUAGE_CODE = "en"
    ROOT_URLCONF = "shop.urls"
if "polls" in INSTALLED_APPS:
    ROOT_URLCONF = "trial_urls"
if "wagtail" in INSTALLED_APPS:
    INSTALLED_APPS.append("wagtail.contrib.frontend_cache")
    WAGTAILADMIN_BASE_URL = "http://127.0.0.1"
    WAGTAILFRONTENDCACHE = {"penstock": {"BACKEND": "penstock_wagtail.PenstockBackend"}}
