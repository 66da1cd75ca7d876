"""The cache as a server of its own."""
