"""What a server is given where the app is made by a function: not every server can call one.

`$PENSTOCK_BENCH_FACTORY` names it, `module:name`.
"""

from __future__ import annotations

import os

from .load_app import FACTORY, load

app = load(os.environ[FACTORY]).app
