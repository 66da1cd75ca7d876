"""Part 7 of the tutorial."""

from __future__ import annotations

from typing import ClassVar

from django.contrib import admin

from .models import Choice, Question


class ChoiceInline(admin.TabularInline):
    model = Choice
    extra = 3


class QuestionAdmin(admin.ModelAdmin):
    fieldsets: ClassVar = [
        (None, {"fields": ["question_text"]}),
        ("Date information", {"fields": ["pub_date"], "classes": ["collapse"]}),
    ]
    inlines: ClassVar = [ChoiceInline]
    list_display: ClassVar = ["question_text", "pub_date", "was_published_recently"]
    list_filter: ClassVar = ["pub_date"]
    search_fields: ClassVar = ["question_text"]


admin.site.register(Question, QuestionAdmin)
