"""Secrets: where they stand, and how they are kept out of what is written."""
