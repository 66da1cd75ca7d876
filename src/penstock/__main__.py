"""`python -m penstock`: the same as `penstock`."""

from .cli.main import main

main()
