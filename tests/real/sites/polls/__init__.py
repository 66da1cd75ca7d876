"""The app of Django's tutorial, parts 1 to 7."""
