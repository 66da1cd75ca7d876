"""The lines that `penstock explain` gives for Django and FastAPI send the field that it advises."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

from penstock.inbound.cache.advice import Unstored, advice
from penstock.inbound.cache.to_store import in_django, in_fastapi
from penstock.rules.caching.decisions import REASONS

pytestmark = [pytest.mark.service, pytest.mark.real]

HEADERS = sorted(
    {found.header for reason in REASONS if (found := advice(Unstored(reason))).header} | {"Vary: Accept, Origin"}
)
DJANGO = """
from django.conf import settings
settings.configure()
from django.http import HttpResponse
from django.test import RequestFactory
from django.views.decorators.cache import cache_control
from django.views.decorators.vary import vary_on_headers
{decorator}
def view(request):
    response = HttpResponse("x")
    {line}
    return response
print(view(RequestFactory().get("/"))["{name}"])
"""
FASTAPI = """
import asyncio
from fastapi import FastAPI, Response
app = FastAPI()
@app.get("/")
def view(response: Response):
    {line}
    return "x"
async def send(message):
    for name, value in message.get("headers", ()):
        if name.decode().lower() == "{name}".lower():
            print(value.decode())
async def receive():
    return {{"type": "http.request", "body": b""}}
scope = {{"type": "http", "asgi": {{"version": "3.0"}}, "http_version": "1.1", "method": "GET", "scheme": "http"}}
scope |= {{"path": "/", "raw_path": b"/", "query_string": b"", "root_path": "", "headers": [(b"host", b"a")]}}
asyncio.run(app(scope, receive, send))
"""


def sent(program: str) -> set[str]:
    """The members of the field that `program` prints."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return {member.strip() for member in done.stdout.split(",")}


@pytest.mark.parametrize("framework", ["django", "fastapi"])
@pytest.mark.parametrize("header", HEADERS)
def test_the_line_sends_the_field(framework: str, header: str) -> None:
    """As it would be copied."""
    if importlib.util.find_spec(framework) is None:
        pytest.skip(f"{framework} is not installed: make test-real does that")
    name, _, value = header.partition(": ")
    if framework == "fastapi":
        program = FASTAPI.format(name=name, line=in_fastapi(header))
    else:
        line = in_django(header)
        decorated = line.startswith("@")
        program = DJANGO.format(name=name, decorator=line if decorated else "", line="pass" if decorated else line)
    assert sent(program) == {member.strip() for member in value.split(",")}
