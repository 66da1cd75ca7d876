"""Part 3 of Django's tutorial: the `mysite/urls.py` of the project, with a login page for other people than editors."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("polls/", include("polls.urls")),
    path("admin/", admin.site.urls),
]
