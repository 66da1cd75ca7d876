"""PostgreSQL behind both arms of a route: each request has a transaction of its own, and gives its connection back."""

from __future__ import annotations

import importlib
import importlib.util
import socket
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from .move_serving import Reply, Site, site
from .postgres import IDLE, Database, database

pytestmark = [pytest.mark.service, pytest.mark.real]
PATHS = ("/psycopg", "/sqlalchemy")
ARMS = ("control", "async")
paths = pytest.mark.parametrize("path", PATHS)
arms = pytest.mark.parametrize("arm", ARMS)
_VISITS = "CREATE TABLE visits (id text, arm text, transaction text DEFAULT pg_current_xact_id()::text)"


@pytest.fixture(scope="module")
def server() -> Iterator[Database]:
    for package in ("fastapi", "uvicorn", "psycopg", "psycopg_pool", "sqlalchemy", "greenlet"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed: make test-real does that")
    with database() as running:
        yield running


@pytest.fixture
def db(server: Database) -> Database:
    server.rows("DROP TABLE IF EXISTS visits")
    server.rows(_VISITS)
    return server


@pytest.fixture
def shop(db: Database, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Site]:
    """The site, with pools of so many connections."""
    size = str(getattr(request, "param", 4))
    with site("postgres_site", "uvicorn", tmp_path, app="app", SITE_DSN=db.dsn, SITE_POOL=size) as running:
        yield running


def ask_all(shop: Site, targets: Sequence[str], at_once: int = 12) -> list[Reply]:
    """Each of another user, so many at a time."""
    with ThreadPoolExecutor(at_once) as clients:
        numbered = enumerate(targets)
        return list(clients.map(lambda each: shop.ask(each[1], "POST", X_User=str(each[0])), numbered))


def committed(db: Database) -> Counter[tuple[str, str]]:
    """(id, arm) of the rows that are there."""
    return Counter(db.rows("SELECT id, arm FROM visits"))


def test_a_server_ends_after_a_failure_too(server: Database) -> None:
    psycopg = importlib.import_module("psycopg")
    used: list[Database] = []

    def fail() -> None:
        with database() as other, psycopg.connect(other.dsn):
            used.append(other)
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    with pytest.raises(psycopg.OperationalError, match="refused"):
        used[0].rows("SELECT 1")
    assert server.rows("SELECT 1") == [(1,)]


@paths
def test_both_arms_answer_the_same_each_in_its_own_transaction(shop: Site, db: Database, path: str) -> None:
    shop.gets(f"POST {path}", "async", 0.5)
    replies = ask_all(shop, [f"{path}?id={number}&wait=0.01" for number in range(120)])
    assert [reply.status for reply in replies] == [200] * 120
    assert [reply.json["ids"] for reply in replies] == [[str(number)] for number in range(120)]
    by_arm = Counter(reply.arm for reply in replies)
    assert min(by_arm[arm] for arm in ARMS) > 20
    assert committed(db) == Counter((str(number), reply.arm) for number, reply in enumerate(replies))
    assert db.states_at_rest().keys() <= IDLE
    assert {arm: shop.counts(f"POST {path}", arm) for arm in ARMS} == {arm: {"ended": by_arm[arm]} for arm in ARMS}


@paths
def test_what_fails_is_rolled_back_in_either_arm(shop: Site, db: Database, path: str) -> None:
    shop.gets(f"POST {path}", "async", 0.5)
    endings = {"": 200, "409": 409, "raises": 500}
    wanted = [ending for _ in range(30) for ending in endings]
    replies = ask_all(shop, [f"{path}?id={number}&fail={ending}" for number, ending in enumerate(wanted)])
    assert [reply.status for reply in replies] == [endings[ending] for ending in wanted]
    assert committed(db) == Counter(
        (str(number), reply.arm) for number, reply in enumerate(replies) if reply.status == 200
    )
    assert sum(shop.counts(f"POST {path}", arm)["errors"] for arm in ARMS) == 30
    assert db.states_at_rest().keys() <= IDLE


@arms
@paths
def test_clients_that_leave_in_the_middle_leave_no_connection_behind(
    shop: Site, db: Database, path: str, arm: str
) -> None:
    """The app goes on to the end, as it does in a control without arms; what it has written is committed."""
    shop.gets(f"POST {path}", arm)
    for number in range(12):
        with socket.create_connection(("127.0.0.1", shop.port), timeout=10) as leaving:
            target = f"{path}?id={number}&wait=0.3"
            leaving.sendall(f"POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode())
            time.sleep(0.05)
    assert shop.ask(f"{path}?id=after", "POST").json == {"arm": arm, "ids": ["after"]}
    until = time.monotonic() + 10
    while len(committed(db)) < 13 and time.monotonic() < until:
        time.sleep(0.05)
    assert committed(db) == Counter((name, arm) for name in [*map(str, range(12)), "after"])
    assert db.states_at_rest().keys() <= IDLE
    assert shop.counts(f"POST {path}", arm) == {"ended": 13}


def test_what_the_ceiling_refuses_has_touched_nothing(shop: Site, db: Database) -> None:
    shop.gets("POST /narrow", "async")
    replies = ask_all(shop, [f"/narrow?id={number}&wait=0.5" for number in range(12)])
    assert Counter(reply.status for reply in replies) == {200: 4, 503: 8}
    assert committed(db) == Counter(
        (str(number), "async") for number, reply in enumerate(replies) if reply.status == 200
    )
    assert db.states_at_rest().keys() <= IDLE
    assert shop.counts("POST /narrow", "async") == {"ended": 4, "shed": 8}


@pytest.mark.parametrize("shop", [2], indirect=True)
@paths
def test_a_pool_smaller_than_the_ceiling_makes_wait_and_loses_nothing(shop: Site, db: Database, path: str) -> None:
    shop.gets(f"POST {path}", "async")
    began = time.monotonic()
    replies = ask_all(shop, [f"{path}?id={number}&wait=0.1" for number in range(30)], at_once=30)
    assert [reply.status for reply in replies] == [200] * 30
    assert time.monotonic() - began > 1.4, "two at a time"
    assert committed(db) == Counter((str(number), "async") for number in range(30))
    states = db.states_at_rest()
    assert states.keys() <= IDLE
    # One more: the control's pool of psycopg keeps a connection from the start.
    assert states.total() <= 2 + 1 + 1
    assert shop.counts(f"POST {path}", "async") == {"ended": 30}


def test_a_session_of_the_thread_is_found_in_the_async_arm_alone(shop: Site, db: Database) -> None:
    for arm in ARMS:
        for path in ("/scoped", *PATHS):
            shop.gets(f"POST {path}", arm)
            ask_all(shop, [f"{path}?id={path}{arm}{number}&wait=0.05" for number in range(20)], at_once=5)
    lost = {
        (path, arm): {name: count for name, count in shop.counts(f"POST {path}", arm).items() if "lost" in name}
        for path in ("/scoped", *PATHS)
        for arm in ARMS
    }
    found = lost.pop(("/scoped", "async"))
    assert found.keys() == {"lost of_thread"}
    assert found["lost of_thread"] >= 5
    assert lost == {key: {} for key in lost}
    assert "'of_thread' was that of another request" in shop.log.read_text()
    assert db.states_at_rest().keys() <= IDLE
