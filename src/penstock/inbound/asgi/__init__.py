"""The cache inside an ASGI app."""
