"""`penstock move`: routes from one implementation to another, a share of the requests after the other."""

from __future__ import annotations

import click

from .back import back
from .bench import bench
from .roll import roll
from .status import status


@click.group(short_help="Move routes from one implementation to another.")
def move() -> None:
    """Measure the arms of a route, give them their shares of the requests, and see what becomes of them.

    The arms are in the app, under penstock.arms. Shares are written to a file that every worker reads: --arms, else
    $PENSTOCK_ARMS, else arms.json in this folder.
    """


move.add_command(bench)
move.add_command(roll)
move.add_command(back)
move.add_command(status)
