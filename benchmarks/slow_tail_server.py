"""The fault server with answers long enough to drip, for `hedge`; takes the options of every server here."""

from __future__ import annotations

import argparse
import sys

from penstock.testing.fault_server_process import add_serving_options, make_server, serve

ANSWER = b'{"answer": "' + b"x" * 400 + b'"}'


def main() -> int:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.slow_tail_server", description=__doc__)
    add_serving_options(parser)
    options = parser.parse_args()
    serve(make_server(options, answer=lambda body: ANSWER), options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
