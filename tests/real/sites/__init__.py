"""Sites in Django as people write them, without a thought of caches; `django_sites` makes projects of them."""
