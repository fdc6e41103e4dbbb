"""redis-py talks to a real Redis server on the loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from support.certificates import Certificates
from support.loops import Loop
from support.required import library
from support.servers import Redis

redis = library("redis")
library("redis.asyncio")

MEBIBYTE = 2**20


@asynccontextmanager
async def client(server: Redis, **options: Any) -> AsyncIterator[Any]:
    """A client of the server's unix socket, and nothing in its database before and after."""
    async with redis.asyncio.Redis(unix_socket_path=server.path, **options) as client:
        yield client
        await client.flushall()


async def test_values_go_and_come_over_a_unix_socket(loop: Loop, redis_server: Redis) -> None:
    async with client(redis_server) as database:
        values = {f"key {number}": bytes([number]) * number * 100 for number in range(256)}
        assert await database.mset(values)
        assert await database.mget(list(values)) == list(values.values())


async def test_values_go_and_come_over_tcp(loop: Loop, redis_server: Redis) -> None:
    value = bytes(range(256)) * 4096 * 8
    async with redis.asyncio.Redis(host="127.0.0.1", port=redis_server.port) as database:
        assert await database.set("large", value)
        assert await database.getdel("large") == value


async def test_values_go_and_come_over_tls(
    loop: Loop, redis_server: Redis, certificates: Certificates
) -> None:
    value = bytes(range(256)) * 4096 * 4
    async with redis.asyncio.Redis(
        host="localhost",
        port=redis_server.tls_port,
        ssl=True,
        ssl_ca_certs=str(certificates.authority),
    ) as database:
        for _ in range(3):
            assert await database.set("large", value)
            assert await database.getdel("large") == value


async def test_a_pipeline_of_two_thousand_commands_is_answered_in_order(
    loop: Loop, redis_server: Redis
) -> None:
    async with (
        client(redis_server) as database,
        database.pipeline(transaction=False) as pipeline,
    ):
        for _ in range(2_000):
            pipeline.incr("count")
        assert await pipeline.execute() == list(range(1, 2_001))


async def test_a_transaction_whose_key_changed_is_refused(loop: Loop, redis_server: Redis) -> None:
    async with client(redis_server) as database:
        async with database.pipeline() as transaction:
            await transaction.watch("balance")
            await database.set("balance", 1)
            transaction.multi()
            transaction.incr("balance")
            with pytest.raises(redis.WatchError):
                await transaction.execute()
        assert await database.get("balance") == b"1"


async def test_a_subscriber_gets_each_message_that_is_published(
    loop: Loop, redis_server: Redis
) -> None:
    async with client(redis_server) as database, database.pubsub() as subscriber:
        await subscriber.subscribe("news")
        assert (await subscriber.get_message(timeout=10))["type"] == "subscribe"

        async def publish() -> None:
            for number in range(200):
                assert await database.publish("news", number) == 1

        async with asyncio.TaskGroup() as group:
            group.create_task(publish())
            for number in range(200):
                message = await subscriber.get_message(timeout=10)
                assert (message["type"], message["data"]) == ("message", b"%d" % number)
        assert await subscriber.get_message(timeout=0.01) is None


async def test_a_blocking_pop_returns_what_is_pushed_and_times_out_without(
    loop: Loop, redis_server: Redis
) -> None:
    async with client(redis_server) as database:
        waiting = loop.create_task(database.blpop("queue", timeout=20))
        while (await database.info("clients"))["blocked_clients"] == 0:
            await asyncio.sleep(0)
        await database.rpush("queue", "job")
        assert await waiting == (b"queue", b"job")
        assert await database.blpop("queue", timeout=0.05) is None


async def test_a_cancelled_command_does_not_mix_up_the_answers_of_others(
    loop: Loop, redis_server: Redis
) -> None:
    async with client(redis_server, max_connections=4) as database:
        await database.mset({f"key {number}": number for number in range(50)})
        for rounds in range(20):
            waiting = loop.create_task(database.blpop("never", timeout=0.1))
            for _ in range(rounds):
                await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.wait([waiting])  # wait_for, which redis-py calls, loses some on 3.11
            answers = [await database.get(f"key {number}") for number in range(50)]
            assert answers == [b"%d" % number for number in range(50)]


async def test_a_hundred_clients_at_once_share_a_pool(loop: Loop, redis_server: Redis) -> None:
    pool = redis.asyncio.BlockingConnectionPool(
        connection_class=redis.asyncio.UnixDomainSocketConnection,
        path=redis_server.path,
        max_connections=10,
    )
    async with redis.asyncio.Redis.from_pool(pool) as database:

        async def count() -> None:
            for _ in range(5):
                await database.incr("shared")

        await asyncio.gather(*(count() for _ in range(100)))
        assert await database.getdel("shared") == b"500"


async def test_what_the_server_closed_is_an_error_and_then_a_new_connection(
    loop: Loop, redis_server: Redis
) -> None:
    retry = redis.asyncio.retry.Retry(redis.backoff.NoBackoff(), 0)
    async with client(redis_server, retry=retry) as database, client(redis_server) as administrator:
        waiting = loop.create_task(database.blpop("queue", timeout=20))
        while (await administrator.info("clients"))["blocked_clients"] == 0:
            await asyncio.sleep(0)
        await administrator.client_kill_filter(skipme=True)
        with pytest.raises(redis.ConnectionError):
            await waiting
        assert await database.ping()
