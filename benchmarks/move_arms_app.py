"""What `move_arms --server` serves: a FastAPI sync route bare and with arms, in one process; and its own CPU time."""

from __future__ import annotations

import resource

from fastapi import FastAPI

from .move_arms import quote_of

app = FastAPI()
WAYS = {"bare": "bare", "off": "arms, off", "half": "arms, 50 % by key"}
for path, way in WAYS.items():
    # Without a model, whose validation is cheaper with arms: it would hide what they cost.
    app.get(f"/{path}/{{number}}", response_model=None)(quote_of(way, "sync"))


@app.get("/usage")
async def usage() -> float:
    """Seconds of CPU of this process by now, threads included."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
