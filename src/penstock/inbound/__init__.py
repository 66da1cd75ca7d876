"""Many requests into one small app: the shared cache, as a proxy and inside the app."""
