"""An app of two routes with arms that tells Prometheus of them.

It is `app` in FastAPI, and with `SITE_WSGI` in the environment `application` in Flask. A
request takes so many `seconds`, and gets the `status` that it asks for; `X-Arm` says which arm answered.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

from fastapi import FastAPI
from fastapi.responses import JSONResponse
from flask import Flask, request

import penstock

OPTIONS: dict[str, Any] = {"key": "x-user", "max_in_flight": 1, "max_waiting": 0}
ROUTES = ("/quote", "/cart")
METRICS = "/penstock/metrics"

app = FastAPI()
app.add_middleware(penstock.MoveMiddleware, metrics=METRICS)


def answer(arm: str, status: int) -> JSONResponse:
    return JSONResponse({"arm": arm, "pid": os.getpid()}, status, {"x-arm": arm})


def add(path: str) -> None:
    @app.get(path)
    @penstock.arms(f"GET {path}", **OPTIONS)
    def control(status: int = 200, seconds: float = 0.0) -> JSONResponse:
        time.sleep(seconds)
        return answer("control", status)

    @control.arm("async")
    async def _(status: int = 200, seconds: float = 0.0) -> JSONResponse:
        await asyncio.sleep(seconds)
        return answer("async", status)


def add_to_flask(path: str) -> None:
    @flask.get(path, endpoint=path)
    @penstock.arms(f"GET {path}", wsgi=True, **OPTIONS)
    def control() -> Any:
        return answer_of_flask("control")

    @control.arm("async")
    def _() -> Any:
        return answer_of_flask("async")


def answer_of_flask(arm: str) -> Any:
    time.sleep(request.args.get("seconds", 0.0, float))
    return {"arm": arm, "pid": os.getpid()}, request.args.get("status", 200, int), {"x-arm": arm}


flask = Flask(__name__)
application = penstock.MoveWSGIMiddleware(flask, metrics=METRICS)
for each in ROUTES:
    (add_to_flask if os.environ.get("SITE_WSGI") else add)(each)


@app.get("/plain")
def plain() -> dict[str, int]:
    return {"pid": os.getpid()}


@flask.get("/plain")
def plain_in_flask() -> Any:
    return {"pid": os.getpid()}
