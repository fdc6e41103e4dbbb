"""aiosqlite runs SQLite in a thread of its own that answers by ``call_soon_threadsafe``."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest
from support.loops import Loop
from support.required import library

aiosqlite = library("aiosqlite")


async def test_rows_are_stored_and_found_again(loop: Loop, tmp_path: Path) -> None:
    rows = [(number, f"name {number}") for number in range(1_000)]
    async with aiosqlite.connect(tmp_path / "database") as database:
        await database.execute("CREATE TABLE names (number int, name text)")
        await database.executemany("INSERT INTO names VALUES (?, ?)", rows)
        await database.commit()
    async with (
        aiosqlite.connect(tmp_path / "database") as database,
        database.execute("SELECT * FROM names ORDER BY number") as cursor,
    ):
        assert [row async for row in cursor] == rows


async def test_many_tasks_share_a_connection(loop: Loop) -> None:
    async with aiosqlite.connect(":memory:") as database:
        await database.execute("CREATE TABLE numbers (number int)")

        async def insert(number: int) -> None:
            await database.execute("INSERT INTO numbers VALUES (?)", (number,))

        await asyncio.gather(*map(insert, range(500)))
        cursor = await database.execute("SELECT sum(number), count(*) FROM numbers")
        assert await cursor.fetchone() == (sum(range(500)), 500)


async def test_many_connections_write_one_file(loop: Loop, tmp_path: Path) -> None:
    async def insert(number: int) -> None:
        async with aiosqlite.connect(tmp_path / "database", timeout=60) as database:
            await database.execute("INSERT INTO numbers VALUES (?)", (number,))
            await database.commit()

    async with aiosqlite.connect(tmp_path / "database") as database:
        await database.execute("CREATE TABLE numbers (number int)")
        await database.commit()
        await asyncio.gather(*map(insert, range(20)))
        cursor = await database.execute("SELECT number FROM numbers ORDER BY number")
        assert await cursor.fetchall() == [(number,) for number in range(20)]


async def test_an_error_in_the_thread_is_raised_in_the_task(loop: Loop) -> None:
    async with aiosqlite.connect(":memory:") as database:
        with pytest.raises(sqlite3.OperationalError, match="no such table: nowhere"):
            await database.execute("SELECT * FROM nowhere")


async def test_a_query_that_is_interrupted_or_cancelled_leaves_the_connection_of_use(
    loop: Loop,
) -> None:
    # Its first row says that it runs; a subquery may be asked for last, if ever.
    endless = (
        "WITH RECURSIVE n(n) AS (SELECT running() UNION ALL SELECT n FROM n) SELECT count(*) FROM n"
    )
    async with aiosqlite.connect(":memory:") as database:
        running = asyncio.Event()
        await database.create_function(
            "running", 0, lambda: loop.call_soon_threadsafe(running.set) and None
        )
        for cancel in (False, True):
            running.clear()
            query = loop.create_task(database.execute_fetchall(endless))
            await running.wait()
            if cancel:
                query.cancel()
            await database.interrupt()
            with pytest.raises(asyncio.CancelledError if cancel else sqlite3.OperationalError):
                await query
            assert await (await database.execute("SELECT 1")).fetchone() == (1,)
