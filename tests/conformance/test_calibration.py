"""The rig itself: without a cache, and through a real nginx, it must come to the verdicts of the suite's own runner."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .conftest import free_port, run_through
from .suite import Suite
from .verdicts import GOOD, totals, verdicts

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.service]

_NO_CACHE_PASSES = """freshness-max-age-0 freshness-max-age-0-expires freshness-max-age-negative
freshness-max-age-single-quoted freshness-expires-present cc-resp-private-shared cc-resp-no-store
cc-resp-no-store-case-insensitive cc-resp-no-store-fresh cc-resp-no-cache cc-resp-no-cache-case-insensitive
heuristic-201-not_cached heuristic-202-not_cached heuristic-403-not_cached heuristic-502-not_cached
heuristic-503-not_cached heuristic-504-not_cached heuristic-599-not_cached vary-star cdn-private cdn-no-cache
cdn-no-store-cc-fresh freshness-none freshness-max-age-space-before-equals freshness-max-age-space-after-equals
conditional-etag-forward cdn-remove-header"""

_NGINX_FAILS = """freshness-max-age-age freshness-expires-present freshness-expires-old-date
freshness-expires-age-slow-date freshness-expires-age-fast-date freshness-expires-invalid-utc
freshness-expires-invalid-aest vary-syntax-star-star vary-syntax-empty-star vary-syntax-star-foo vary-syntax-foo-star
conditional-etag-precedence headers-omit-headers-listed-in-Connection 304-etag-update-response-Test-Header
304-etag-update-response-X-Test-Header 304-etag-update-response-Content-Foo 304-etag-update-response-X-Content-Foo
304-etag-update-response-Cache-Control invalidate-POST invalidate-PUT invalidate-DELETE invalidate-M-SEARCH
other-authorization other-age-gen other-age-update-expires other-age-update-max-age other-date-update
other-date-update-expires cdn-private cdn-no-cache cdn-no-store-cc-fresh cdn-fresh-cc-nostore interim-not-cached"""


def test_without_a_cache(suite: Suite) -> None:
    """The fixed points of section 11."""
    found = verdicts(suite, run_through(suite, None))
    assert totals(suite, found) == {
        "required": Counter(dependency_fail=129, **{"pass": 22}, fail=6, setup_fail=3),
        "optimal": Counter(dependency_fail=80, optional_fail=25),
        "check": Counter(dependency_fail=73, no=22, yes=5),
    }
    assert {test_id for test_id, verdict in found.items() if verdict in GOOD} == set(_NO_CACHE_PASSES.split())


@pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")
def test_through_nginx(suite: Suite, tmp_path: Path) -> None:
    """Debian's nginx 1.22.1 with the suite's own configuration."""
    version = subprocess.run(["nginx", "-v"], capture_output=True, text=True, check=True).stderr
    if "1.22.1" not in version:
        pytest.skip(f"the known verdicts are those of nginx 1.22.1, this is {version.strip()}")

    @contextmanager
    def serve(origin_port: int) -> Iterator[int]:
        with _nginx(tmp_path, origin_port) as port:
            yield port

    found = verdicts(suite, run_through(suite, serve))
    counted = totals(suite, found)
    assert counted["required"] == Counter(fail=33, setup_fail=1, dependency_fail=26, **{"pass": 100})
    assert counted["optimal"] == Counter(optional_fail=34, setup_fail=2, dependency_fail=11, **{"pass": 58})
    assert counted["check"] == Counter(yes=18, no=54, setup_fail=1, dependency_fail=27)
    assert {test_id for test_id, verdict in found.items() if verdict == "fail"} == set(_NGINX_FAILS.split())


@contextmanager
def _nginx(folder: Path, origin_port: int) -> Iterator[int]:
    port = free_port()
    temporary = "".join(
        f"{each}_temp_path {folder}/{each};" for each in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;\n"
        "events { worker_connections 1024; }\n"
        f"http {{ access_log off; {temporary}\n"
        f"proxy_cache_path {folder}/cache keys_zone=c:8m inactive=600m;\n"
        f"server {{ listen 127.0.0.1:{port}; location / {{\n"
        f"proxy_pass http://127.0.0.1:{origin_port}; proxy_cache c; proxy_cache_revalidate on;\n"
        "proxy_http_version 1.1; } } }\n"
    )
    process = subprocess.Popen(["nginx", "-c", str(folder / "nginx.conf")])
    try:
        time.sleep(1)
        yield port
    finally:
        process.terminate()
        process.wait(timeout=30)
