"""psycopg talks to a real PostgreSQL server on the loop, which watches libpq's socket for it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.certificates import Certificates
from support.loops import Loop
from support.required import library
from support.servers import PostgreSQL

psycopg = library("psycopg")


async def connect(server: PostgreSQL, **options: Any) -> Any:
    """Connect by the unix socket; the connection is a context manager that closes it."""
    return await psycopg.AsyncConnection.connect(
        **{"host": server.folder, **options},
        port=server.port,
        user=server.user,
        dbname=server.database,
        autocommit=True,
    )


async def test_a_query_is_answered_over_a_unix_socket(
    loop: Loop, postgresql_server: PostgreSQL
) -> None:
    async with await connect(postgresql_server) as database:
        cursor = await database.execute("SELECT %s::int + 1, %s::text", (41, "ünïcode"))
        assert await cursor.fetchall() == [(42, "ünïcode")]


async def test_a_query_is_answered_over_tls(
    loop: Loop, postgresql_server: PostgreSQL, certificates: Certificates
) -> None:
    async with await connect(
        postgresql_server,
        host="localhost",
        password=postgresql_server.password,
        sslmode="verify-full",
        sslrootcert=str(certificates.authority),
    ) as database:
        cursor = await database.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        assert await cursor.fetchone() == (True,)
        cursor = await database.execute("SELECT repeat(%s, 3000)", ("x" * 1000,))
        assert await cursor.fetchone() == ("x" * 3_000_000,)


async def test_ten_thousand_rows_are_fetched_at_once_and_one_by_one(
    loop: Loop, postgresql_server: PostgreSQL
) -> None:
    query = "SELECT n, repeat('x', n % 100) FROM generate_series(1, 10000) AS n"
    expected = [(n, "x" * (n % 100)) for n in range(1, 10_001)]
    async with await connect(postgresql_server) as database, database.cursor() as cursor:
        await cursor.execute(query)
        assert await cursor.fetchall() == expected
        assert [row async for row in cursor.stream(query)] == expected


async def test_rows_are_copied_in_and_out(loop: Loop, postgresql_server: PostgreSQL) -> None:
    records = [(number, f"name {number}" * 10) for number in range(10_000)]
    async with await connect(postgresql_server) as database, database.cursor() as cursor:
        await cursor.execute("CREATE TEMP TABLE copied (number int, name text)")
        async with cursor.copy("COPY copied FROM STDIN") as copy:
            for record in records:
                await copy.write_row(record)
        async with cursor.copy("COPY (SELECT * FROM copied ORDER BY number) TO STDOUT") as copy:
            copy.set_types(["int4", "text"])
            assert [row async for row in copy.rows()] == records


async def test_a_pipeline_sends_queries_without_waiting_for_answers(
    loop: Loop, postgresql_server: PostgreSQL
) -> None:
    async with await connect(postgresql_server) as database:
        async with database.pipeline():
            cursors = [await database.execute("SELECT %s::int", (n,)) for n in range(1_000)]
        assert [await cursor.fetchone() for cursor in cursors] == [(n,) for n in range(1_000)]
        with pytest.raises(psycopg.errors.DivisionByZero):
            async with database.pipeline():
                await database.execute("SELECT 1 / %s", (0,))
                await database.execute("SELECT 1")
        assert await (await database.execute("SELECT 1")).fetchone() == (1,)


async def test_a_transaction_is_committed_or_rolled_back_as_a_whole(
    loop: Loop, postgresql_server: PostgreSQL
) -> None:
    async with await connect(postgresql_server) as database:
        await database.execute("CREATE TEMP TABLE accounts (name text PRIMARY KEY, amount int)")
        async with database.transaction():
            await database.execute("INSERT INTO accounts VALUES ('a', 1), ('b', 2)")
        with pytest.raises(psycopg.errors.UniqueViolation):
            async with database.transaction():
                await database.execute("UPDATE accounts SET amount = 100")
                await database.execute("INSERT INTO accounts VALUES ('a', 3)")
        cursor = await database.execute("SELECT name, amount FROM accounts ORDER BY name")
        assert await cursor.fetchall() == [("a", 1), ("b", 2)]


async def test_a_listener_gets_what_another_connection_notifies(
    loop: Loop, postgresql_server: PostgreSQL
) -> None:
    async with (
        await connect(postgresql_server) as listening,
        await connect(postgresql_server) as other,
    ):
        await listening.execute("LISTEN news")

        async def listen() -> list[str]:
            return [note.payload async for note in listening.notifies(stop_after=100, timeout=20)]

        async with asyncio.TaskGroup() as group:
            heard = group.create_task(listen())
            for number in range(100):
                await other.execute("SELECT pg_notify('news', %s)", (f"message {number}",))
        assert heard.result() == [f"message {number}" for number in range(100)]


async def test_a_connection_is_used_again_after_its_query_was_cancelled(
    loop: Loop, postgresql_server: PostgreSQL
) -> None:
    activity = "SELECT wait_event = 'PgSleep' FROM pg_stat_activity WHERE pid = %s"
    async with (
        await connect(postgresql_server) as database,
        await connect(postgresql_server) as other,
    ):
        pid = database.info.backend_pid

        async def asleep() -> None:
            while await (await other.execute(activity, (pid,))).fetchone() != (True,):
                await asyncio.sleep(0)

        for _ in range(3):
            query = loop.create_task(database.execute("SELECT pg_sleep(600)"))
            await asleep()
            query.cancel()  # psycopg cancels the query on the server and waits for its end
            with pytest.raises(asyncio.CancelledError):
                await query
            assert await (await database.execute("SELECT 1")).fetchone() == (1,)
            query = loop.create_task(database.execute("SELECT pg_sleep(600)"))
            await asleep()
            await database.cancel_safe()
            with pytest.raises(psycopg.errors.QueryCanceled):
                await query
            assert await (await database.execute("SELECT 2")).fetchone() == (2,)


async def test_fifty_connections_at_once(loop: Loop, postgresql_server: PostgreSQL) -> None:
    async def ask(number: int) -> Any:
        async with await connect(postgresql_server) as database:
            return await (await database.execute("SELECT %s::int", (number,))).fetchone()

    assert await asyncio.gather(*map(ask, range(50))) == [(number,) for number in range(50)]
