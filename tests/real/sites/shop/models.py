"""What is sold."""

from __future__ import annotations

from django.db import models


class Product(models.Model):
    slug = models.SlugField(unique=True)
    name = models.CharField(max_length=80)
    price = models.IntegerField()

    def __str__(self) -> str:
        return str(self.name)
