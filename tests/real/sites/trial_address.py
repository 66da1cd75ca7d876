"""Tells Wagtail the address that visitors know, as an editor does under Settings, Sites: `trial_address.py PORT`."""

from __future__ import annotations

import sys

import django

django.setup()

from wagtail.models import Site  # noqa: E402

site = Site.objects.get()
site.hostname, site.port = "127.0.0.1", int(sys.argv[1])
site.save()
