"""One file per foreign HTTP library, each making it a Call with the errors of our own."""
