"""The log `penstock.move`, told from the path of a request and from the thread that watches: it never raises."""

from __future__ import annotations

import contextlib
import logging
from typing import Any


class CarefulLog(logging.LoggerAdapter[logging.Logger]):
    """A filter of the app's may raise, as one that reads the request does in a thread that has none."""

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        """As a logger does it, or not at all."""
        # The line of the caller, not of this.
        kwargs["stacklevel"] = kwargs.get("stacklevel", 1) + 1
        with contextlib.suppress(Exception):
            super().log(level, msg, *args, **kwargs)


LOG = CarefulLog(logging.getLogger("penstock.move"))
