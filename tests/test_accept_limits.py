"""A server that runs out of descriptors waits, and then goes on."""

from __future__ import annotations

import socket
import subprocess

from support.child import start_child

SERVER = """
    import resource

    class Echo(asyncio.Protocol):
        def connection_made(self, transport):
            self.transport = transport

        def data_received(self, data):
            self.transport.write(data)

    reported = []

    def report(loop, context):
        if not reported:
            print(context["message"], type(context["exception"]).__name__)
            assert "socket" in context
        reported.append(context)

    async def main():
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(report)
        server = await loop.create_server(Echo, "127.0.0.1", 0, backlog=100)
        in_use = len(os.listdir("/proc/self/fd"))
        resource.setrlimit(resource.RLIMIT_NOFILE, (in_use + 20, resource.getrlimit(7)[1]))
        print(server.sockets[0].getsockname()[1])
        await loop.run_in_executor(None, sys.stdin.readline)
        server.close()
        await server.wait_closed() if sys.version_info < (3, 12) else None

    with asyncio.Runner(loop_factory=make_loop) as runner:
        runner.run(main())
    os._exit(0)  # the connections that are left are not the matter here
"""


def line_of(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    line = child.stdout.readline().strip()
    assert line, child.communicate(timeout=30)
    return line


def test_a_server_out_of_descriptors_takes_the_rest_later(loop_kind: str) -> None:
    server = start_child(loop_kind, SERVER)
    port = int(line_of(server))
    clients = [socket.create_connection(("127.0.0.1", port), timeout=30) for _ in range(40)]
    assert line_of(server) == "socket.accept() out of system resource OSError"
    served, waiting = clients[:15], clients[25:]
    for client in served:
        client.sendall(b"ping")
        assert client.recv(4) == b"ping"
    for client in clients[:25]:
        client.close()
    for client in waiting:
        client.sendall(b"ping")
        assert client.recv(4) == b"ping"
    for client in waiting:
        client.close()
    _, err = server.communicate("\n", timeout=30)
    assert (server.returncode, err) == (0, "")
