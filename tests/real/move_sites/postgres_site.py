"""A FastAPI app on PostgreSQL with a sync control and an async arm: psycopg's pools, SQLAlchemy's sessions.

In the environment: `SITE_DSN` is the database, `SITE_POOL` how many connections a pool has. `fail` makes a request fail
after its INSERT, `wait` is for so many seconds within the transaction.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from contextvars import ContextVar
from typing import Any

from fastapi import Depends, FastAPI, HTTPException
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import AsyncConnectionPool, ConnectionPool
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session, scoped_session, sessionmaker

import penstock
from penstock.migrate.table import TALLIES

DSN = f"{os.environ['SITE_DSN']} application_name=site"
SIZE = int(os.environ.get("SITE_POOL", "4"))
OPTIONS: dict[str, Any] = {"key": "x-user", "max_in_flight": 10, "max_waiting": 200}

_POOL: dict[str, Any] = {"conninfo": DSN, "min_size": 1, "max_size": SIZE, "timeout": 30, "open": False}
pool, aio_pool = ConnectionPool(**_POOL), AsyncConnectionPool(**_POOL)
_ENGINE: dict[str, Any] = {
    "url": "postgresql+psycopg://",
    "connect_args": conninfo_to_dict(DSN),
    "pool_size": SIZE,
    "max_overflow": 0,
}
make_session = sessionmaker(create_engine(**_ENGINE))
aio_engine = create_async_engine(**_ENGINE)
make_aio_session = async_sessionmaker(aio_engine)
of_thread = scoped_session(make_session)

current_session: ContextVar[Session] = ContextVar("current_session")
current_aio_session: ContextVar[AsyncSession] = ContextVar("current_aio_session")
penstock.carry(
    own=["session", "aio_session", "of_thread"],
    session=current_session,
    aio_session=current_aio_session,
    of_thread=lambda: of_thread() if of_thread.registry.has() else None,
)


@contextlib.asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    with pool:
        async with aio_pool:
            yield
    await aio_engine.dispose()


app = FastAPI(lifespan=lifespan)
app.add_middleware(penstock.MoveMiddleware)

INSERT = "INSERT INTO visits (id, arm) VALUES (%s, %s)"
MINE = "SELECT id FROM visits WHERE transaction = pg_current_xact_id()::text"
SLEEP = "SELECT pg_sleep(%s)"


def said(arm: str, rows: list[Any]) -> dict[str, Any]:
    return {"arm": arm, "ids": [each for (each,) in rows]}


def refuse(fail: str) -> None:
    """What ends a request after its INSERT."""
    if fail == "raises":
        raise LookupError("no such visit")
    if fail:
        raise HTTPException(int(fail))


# psycopg


def by_psycopg(id: str, fail: str = "", wait: float = 0.0) -> Any:  # noqa: A002
    with pool.connection() as connection:
        connection.execute(INSERT, (id, "control"))
        connection.execute(SLEEP, (wait,))
        refuse(fail)
        return said("control", connection.execute(MINE).fetchall())


async def by_psycopg_async(id: str, fail: str = "", wait: float = 0.0) -> Any:  # noqa: A002
    async with aio_pool.connection() as connection:
        await connection.execute(INSERT, (id, "async"))
        await connection.execute(SLEEP, (wait,))
        refuse(fail)
        return said("async", await (await connection.execute(MINE)).fetchall())


for name, options in {"/psycopg": OPTIONS, "/narrow": {"max_in_flight": 2, "max_waiting": 2}}.items():
    armed = penstock.arms(f"POST {name}", **options)(by_psycopg)
    armed.arm("async")(by_psycopg_async)
    app.post(name)(armed)


# SQLAlchemy

S_INSERT = text("INSERT INTO visits (id, arm) VALUES (:id, :arm)")
S_MINE = text(MINE)
S_SLEEP = text("SELECT pg_sleep(:wait)")


async def session() -> AsyncIterator[Session]:
    """Of the request; it takes no connection before it is used."""
    made = make_session()
    token = current_session.set(made)
    try:
        yield made
    finally:
        current_session.reset(token)
        made.close()


async def aio_session() -> AsyncIterator[AsyncSession]:
    """The same for the async arm."""
    async with make_aio_session() as made:
        token = current_aio_session.set(made)
        try:
            yield made
        finally:
            current_aio_session.reset(token)


Sync, Aio = Depends(session), Depends(aio_session)


@app.post("/sqlalchemy")
@penstock.arms("POST /sqlalchemy", **OPTIONS)
def by_sqlalchemy(id: str, fail: str = "", wait: float = 0.0, db: Session = Sync, aio: AsyncSession = Aio) -> Any:  # noqa: A002
    assert current_session.get() is db
    with db.begin():
        db.execute(S_INSERT, {"id": id, "arm": "control"})
        db.execute(S_SLEEP, {"wait": wait})
        refuse(fail)
        return said("control", list(db.execute(S_MINE)))


@by_sqlalchemy.arm("async")
async def _(id: str, fail: str = "", wait: float = 0.0, db: Session = Sync, aio: AsyncSession = Aio) -> Any:  # noqa: A002
    assert current_aio_session.get() is aio
    async with aio.begin():
        await aio.execute(S_INSERT, {"id": id, "arm": "async"})
        await aio.execute(S_SLEEP, {"wait": wait})
        refuse(fail)
        return said("async", list(await aio.execute(S_MINE)))


# What must be found


def in_a_session_of_the_thread(arm: str, id: str) -> list[Any]:  # noqa: A002
    of_thread().execute(S_INSERT, {"id": id, "arm": arm})
    return list(of_thread().execute(S_MINE))


@app.post("/scoped")
@penstock.arms("POST /scoped", **OPTIONS)
def scoped(id: str, wait: float = 0.0) -> Any:  # noqa: A002
    rows = in_a_session_of_the_thread("control", id)
    of_thread().execute(S_SLEEP, {"wait": wait})
    of_thread().commit()
    of_thread.remove()
    return said("control", rows)


@scoped.arm("async")
async def _(id: str, wait: float = 0.0) -> Any:  # noqa: A002
    in_a_session_of_the_thread("async", id)
    await asyncio.sleep(wait)
    rows = list(of_thread().execute(S_MINE))
    of_thread().commit()
    of_thread.remove()
    return said("async", rows)


# What a test asks


@app.get("/plain")
def plain() -> str:
    return "plain"


@app.get("/tallies")
def tallies() -> Any:
    return {
        f"{each.route} {each.arm}": {
            "in_flight": each.in_flight,
            "ended": each.ended,
            "errors": each.errors,
            "shed": each.shed,
            **{f"lost {name}": count for name, count in each.lost.items()},
        }
        for each in TALLIES.all()
    }
