"""Fills the database of a site. Run beside manage.py: `python trial_data.py NAME...` makes an editor of each name."""

from __future__ import annotations

import sys

import django

django.setup()

from django.apps import apps  # noqa: E402
from django.contrib.auth.models import User  # noqa: E402
from django.utils import timezone  # noqa: E402

for name in sys.argv[1:]:
    User.objects.create_superuser(name, password=f"{name}-secret")
if apps.is_installed("polls"):
    for n in range(8):
        question = apps.get_model("polls", "Question").objects.create(
            question_text=f"Question {n}?", pub_date=timezone.now()
        )
        for text in ("Not much", "The sky"):
            question.choice_set.create(choice_text=text)
if apps.is_installed("shop"):
    for n in range(6):
        apps.get_model("shop", "Product").objects.create(slug=f"thing-{n}", name=f"Thing {n}", price=n)
if apps.is_installed("home"):
    home_page = apps.get_model("home", "HomePage")
    top = home_page.objects.get()
    for n in range(6):
        top.add_child(instance=home_page(title=f"Page {n}", slug=f"page-{n}"))
