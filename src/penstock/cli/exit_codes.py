"""The exit codes of all commands, and what is said where one was interrupted. Imports nothing: it is read first."""

OK, SOME_FAILED, COULD_NOT_START, STOPPED = 0, 1, 2, 3
INTERRUPTED = "interrupted; the same command goes on from there"
