"""Permits under limits: for one process, for several by name, by key, as servers tell them, and their logs on disk."""
