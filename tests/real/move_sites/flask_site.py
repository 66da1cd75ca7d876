"""A Flask app whose routes have arms, two of them in a blueprint.

In the environment: `SITE_SERVED_BEFORE_FORK` lets the parent of the workers serve a request, `SITE_UPSTREAM` is what
the client arm asks.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flask import Blueprint, Flask, Response, abort, g, jsonify, request, send_file, session, url_for

import penstock
from penstock.migrate.table import TALLIES

app = Flask(__name__)
app.secret_key = "site"
shop = Blueprint("shop", __name__, url_prefix="/shop")
http = penstock.Http(os.environ.get("SITE_UPSTREAM", "http://127.0.0.1:9"), total_timeout=5.0)


def said(arm: str, **more: Any) -> Any:
    return jsonify(arm=arm, pid=os.getpid(), thread=threading.get_ident(), **more)


@app.before_request
def who_asks() -> None:
    g.user = request.headers.get("X-User", "-")


@shop.get("/quote/<int:number>")
@penstock.arms("GET /shop/quote", key="X-User", max_in_flight=50, max_waiting=50, wsgi=True)
def quote(number: int) -> Any:
    return said("control", number=number, user=g.user, url=url_for("shop.quote", number=number))


@quote.arm("client")
def _(number: int) -> Any:
    return said("client", number=number, user=g.user, url=url_for(".quote", number=number))


@quote.arm("async")
async def _(number: int) -> Any:
    return said("async", number=number)


@shop.route("/both", methods=["GET", "POST"])
@penstock.arms("/shop/both", key=lambda asked: asked.args.get("user"), wsgi=True)
def both() -> Any:
    session["seen"] = "control"
    return said("control", method=request.method)


@both.arm("client")
def _() -> Any:
    session["seen"] = "client"
    return said("client", method=request.method, sent=request.form.get("sent"))


@app.get("/narrow")
@penstock.arms("GET /narrow", max_in_flight=1, max_waiting=1, wsgi=True)
def narrow() -> Any:
    return said("control")


@narrow.arm("client")
def _() -> Any:
    time.sleep(1.0)
    return said("client")


@app.get("/upstream")
@penstock.arms("GET /upstream", wsgi=True)
def upstream() -> Any:
    return said("control")


@upstream.arm("client")
def _() -> Any:
    return said("client", statuses=[each.status for each in http.gather(["/", "/"])])


@app.get("/refuses/<kind>")
@penstock.arms("GET /refuses", wsgi=True)
def refuses(kind: str) -> Any:
    if kind == "raises":
        raise ValueError(kind)
    if kind == "tuple":
        return "no", 503, {"x-kind": kind}
    if kind == "text":
        return "no", "502 Bad Gateway"
    if kind == "response":
        return Response("no", 500)
    return abort(Response("no", 410) if kind == "aborted" else int(kind))


@app.get("/stream/<kind>")
@penstock.arms("GET /stream", wsgi=True)
def stream(kind: str) -> Any:
    def pieces() -> Iterator[bytes]:
        for number in range(100):
            if kind == "breaks" and number == 50:
                raise ValueError(kind)
            if kind == "slow":
                time.sleep(0.05)
            yield b"piece " * 200

    return send_file(Path(__file__)) if kind == "file" else Response(pieces())


@app.get("/tallies")
def tallies() -> Any:
    """What this process has counted."""
    names = ("in_flight", "ended", "errors", "shed", "keyless")
    found = {f"{each.route} {each.arm}": {name: getattr(each, name) for name in names} for each in TALLIES.all()}
    return jsonify(found)


@app.get("/plain")
def plain() -> Any:
    return "plain"


@app.get("/endpoints")
def endpoints() -> Any:
    """What Flask knows of its routes."""
    return jsonify(sorted(f"{rule.endpoint} {rule.rule}" for rule in app.url_map.iter_rules()))


app.register_blueprint(shop)
bare = app.wsgi_app
"""Without the middleware."""
application = app
app.wsgi_app = penstock.MoveWSGIMiddleware(app.wsgi_app)

if "SITE_SERVED_BEFORE_FORK" in os.environ:
    with app.test_client() as client:
        assert b'"control"' in client.get("/shop/quote/1").data
        assert [thread.name for thread in threading.enumerate()].count("penstock-move") == 1
        if "SITE_UPSTREAM" in os.environ:
            assert http.get("/").status == 200
