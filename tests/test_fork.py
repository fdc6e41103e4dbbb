"""Forked children: their loops and their parent's do not disturb each other."""

from __future__ import annotations

from support.child import clean_output

FORK_AT_REST = """
    async def echo_once():
        async def echo(reader, writer):
            writer.write(await reader.readline())
            writer.close()
            await writer.wait_closed()

        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"hello\\n")
        assert await reader.readline() == b"hello\\n"
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()
        await asyncio.sleep(0.001)

    loop = make_loop()
    loop.run_until_complete(echo_once())
    child = os.fork()
    if child == 0:
        own = make_loop()
        own.run_until_complete(echo_once())
        own.close()
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    loop.run_until_complete(echo_once())
    loop.close()
    print("done")
"""

FORK_WITHIN_A_RUN = """
    import socket

    async def main():
        loop = asyncio.get_running_loop()
        left, right = socket.socketpair()
        left.setblocking(False)
        received = loop.create_future()
        loop.add_reader(left, lambda: received.set_result(left.recv(10)))
        child = os.fork()
        if child == 0:
            # A child of a running loop has no running loop, and may run one of its own.
            asyncio.events._set_running_loop(None)
            own = make_loop()
            own.run_until_complete(asyncio.sleep(0.001))
            own.close()
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        await asyncio.sleep(0.001)
        assert not received.done()
        right.send(b"parent")
        assert await received == b"parent"
        loop.remove_reader(left)
        left.close()
        right.close()

    with asyncio.Runner(loop_factory=make_loop) as runner:
        runner.run(main())
    print("done")
"""


def test_a_child_forked_at_rest_runs_its_own_loop(loop_kind: str) -> None:
    assert clean_output(loop_kind, FORK_AT_REST) == "done\n"


def test_a_child_forked_within_a_run_leaves_the_parents_watchers_alone(loop_kind: str) -> None:
    assert clean_output(loop_kind, FORK_WITHIN_A_RUN) == "done\n"
