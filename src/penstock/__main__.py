"""`python -m penstock`: the same as `penstock`."""

from .cli.entry import main

main()
