"""Where the command begins: before the imports, which take a while, Ctrl-C is one line and an exit code already."""

import os

from .exit_codes import INTERRUPTED, STOPPED


def main() -> None:
    """The console script."""
    try:
        import signal

        before = signal.getsignal(signal.SIGINT)
        if before is signal.default_int_handler:
            # An exception could get lost in an import.
            signal.signal(signal.SIGINT, _leave)
        from .main import main as carry_out

        signal.signal(signal.SIGINT, before)
    except KeyboardInterrupt:
        _leave()
    carry_out()


def _leave(*_: object) -> None:
    """Leave at once: nothing has begun yet."""
    os.write(2, f"penstock: {INTERRUPTED}\n".encode())
    os._exit(STOPPED)
