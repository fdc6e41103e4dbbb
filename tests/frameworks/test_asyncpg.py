"""asyncpg talks to a real PostgreSQL server on the loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from support.certificates import Certificates
from support.loops import Loop
from support.required import library
from support.servers import PostgreSQL

asyncpg = library("asyncpg")


def address(server: PostgreSQL) -> dict[str, Any]:
    """Where to connect by the unix socket."""
    return {
        "host": server.folder,
        "port": server.port,
        "user": server.user,
        "database": server.database,
    }


@asynccontextmanager
async def connection(server: PostgreSQL) -> AsyncIterator[Any]:
    """A connection by the unix socket."""
    connection = await asyncpg.connect(**address(server))
    try:
        yield connection
    finally:
        await connection.close()


async def test_a_query_is_answered_over_a_unix_socket(
    loop: Loop, postgresql_server: PostgreSQL
) -> None:
    async with connection(postgresql_server) as database:
        row = await database.fetchrow("SELECT $1::int + 1 AS sum, $2::text AS text", 41, "ünïcode")
        assert dict(row) == {"sum": 42, "text": "ünïcode"}


async def test_a_query_is_answered_over_tcp_after_a_login_by_password(
    loop: Loop, postgresql_server: PostgreSQL
) -> None:
    server = {**address(postgresql_server), "host": "127.0.0.1", "ssl": False}
    database = await asyncpg.connect(**server, password=postgresql_server.password)
    try:
        assert await database.fetchval("SELECT repeat('x', 3000000)") == "x" * 3_000_000
    finally:
        await database.close()
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(**server, password="wrong")


async def test_a_connection_is_upgraded_to_tls(
    loop: Loop, postgresql_server: PostgreSQL, certificates: Certificates
) -> None:
    database = await asyncpg.connect(
        **{**address(postgresql_server), "host": "localhost"},
        password=postgresql_server.password,
        ssl=certificates.client_context(),
    )
    try:
        assert await database.fetchval("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        assert await database.fetchval("SELECT repeat('x', 3000000)") == "x" * 3_000_000
        assert await database.fetchval("SELECT length($1::text)", "x" * 3_000_000) == 3_000_000
    finally:
        await database.close()


async def test_ten_thousand_rows_are_fetched_at_once_and_by_a_cursor(
    loop: Loop, postgresql_server: PostgreSQL
) -> None:
    query = "SELECT n, repeat('x', n % 100) AS text FROM generate_series(1, 10000) AS n"
    expected = [(n, "x" * (n % 100)) for n in range(1, 10_001)]
    async with connection(postgresql_server) as database:
        assert [tuple(row) for row in await database.fetch(query)] == expected
        async with database.transaction():
            rows = [tuple(row) async for row in database.cursor(query, prefetch=500)]
        assert rows == expected


async def test_rows_are_copied_in_and_out(loop: Loop, postgresql_server: PostgreSQL) -> None:
    records = [(number, f"name {number}" * 10) for number in range(10_000)]
    async with connection(postgresql_server) as database:
        await database.execute("CREATE TEMP TABLE copied (number int, name text)")
        await database.copy_records_to_table("copied", records=records)
        assert await database.fetchval("SELECT count(*) FROM copied") == len(records)
        received = bytearray()

        async def receive(data: bytes) -> None:
            received.extend(data)
            await asyncio.sleep(0)

        await database.copy_from_query(
            "SELECT * FROM copied ORDER BY number", output=receive, format="csv"
        )
        assert received.decode() == "".join(f"{number},{name}\n" for number, name in records)


async def test_a_pool_serves_more_tasks_than_it_has_connections(
    loop: Loop, postgresql_server: PostgreSQL
) -> None:
    async with asyncpg.create_pool(**address(postgresql_server), min_size=1, max_size=4) as pool:

        async def ask(number: int) -> int:
            async with pool.acquire() as database:
                answer: int = await database.fetchval("SELECT $1::int * 2", number)
                return answer

        answers = await asyncio.gather(*(ask(number) for number in range(200)))
        assert answers == [number * 2 for number in range(200)]
        assert pool.get_size() <= 4


async def test_a_transaction_is_committed_or_rolled_back_as_a_whole(
    loop: Loop, postgresql_server: PostgreSQL
) -> None:
    async with connection(postgresql_server) as database:
        await database.execute("CREATE TEMP TABLE accounts (name text PRIMARY KEY, amount int)")
        async with database.transaction():
            await database.execute("INSERT INTO accounts VALUES ('a', 1), ('b', 2)")
        with pytest.raises(asyncpg.UniqueViolationError):
            async with database.transaction():
                await database.execute("UPDATE accounts SET amount = 100")
                await database.execute("INSERT INTO accounts VALUES ('a', 3)")
        async with database.transaction():
            await database.execute("UPDATE accounts SET amount = amount + 1 WHERE name = 'a'")
            with pytest.raises(ZeroDivisionError):
                async with database.transaction():
                    await database.execute("UPDATE accounts SET amount = 0")
                    raise ZeroDivisionError
        rows = await database.fetch("SELECT name, amount FROM accounts ORDER BY name")
        assert [tuple(row) for row in rows] == [("a", 2), ("b", 2)]


async def test_a_listener_gets_what_another_connection_notifies(
    loop: Loop, postgresql_server: PostgreSQL
) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()

    def listener(_connection: Any, _pid: int, _channel: str, payload: str) -> None:
        heard.put_nowait(payload)

    async with connection(postgresql_server) as listening, connection(postgresql_server) as other:
        await listening.add_listener("news", listener)
        for number in range(100):
            await other.execute("SELECT pg_notify('news', $1::text)", f"message {number}")
        assert [await heard.get() for _ in range(100)] == [f"message {n}" for n in range(100)]
        await listening.remove_listener("news", listener)


async def test_a_connection_is_used_again_after_its_query_was_cancelled(
    loop: Loop, postgresql_server: PostgreSQL
) -> None:
    async with connection(postgresql_server) as database, connection(postgresql_server) as other:
        pid = database.get_server_pid()
        activity = "SELECT wait_event = 'PgSleep' FROM pg_stat_activity WHERE pid = $1"
        for _ in range(3):
            query = loop.create_task(database.execute("SELECT pg_sleep(600)"))
            while not await other.fetchval(activity, pid):
                await asyncio.sleep(0)
            query.cancel()
            with pytest.raises(asyncio.CancelledError):
                await query
            assert await database.fetchval("SELECT 1") == 1
            with pytest.raises(TimeoutError):
                await database.execute("SELECT pg_sleep(600)", timeout=0.01)
            assert await database.fetchval("SELECT 2") == 2


async def test_a_task_cancelled_at_any_point_gives_its_connection_back_to_the_pool(
    loop: Loop, postgresql_server: PostgreSQL
) -> None:
    async with asyncpg.create_pool(**address(postgresql_server), min_size=2, max_size=2) as pool:
        for point in range(30):
            task = loop.create_task(pool.fetch("SELECT generate_series(1, 1000)"))
            for _ in range(point):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
        answers = await asyncio.gather(*(pool.fetchval("SELECT $1::int", n) for n in range(10)))
        assert answers == list(range(10))


async def test_a_connection_that_the_server_ends_is_lost(
    loop: Loop, postgresql_server: PostgreSQL
) -> None:
    async with connection(postgresql_server) as database, connection(postgresql_server) as other:
        ended = asyncio.Event()
        database.add_termination_listener(lambda _: ended.set())
        assert await other.fetchval("SELECT pg_terminate_backend($1)", database.get_server_pid())
        await ended.wait()
        with pytest.raises(asyncpg.InterfaceError):
            await database.fetchval("SELECT 1")
