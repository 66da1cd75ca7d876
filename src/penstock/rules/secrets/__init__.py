"""Secrets: where they stand, where they come from, and how they are kept out of what is written."""
