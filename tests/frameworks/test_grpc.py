"""grpcio's asyncio API, the answers of which reach the loop by a thread and a socket it watches.

Each test runs in a process of its own, since gRPC keeps threads for as long as a process lives.
"""

from __future__ import annotations

import textwrap

from support.certificates import Certificates
from support.child import clean_output
from support.required import library

library("grpc")

PRELUDE = """
    import gc
    import os
    import pathlib
    # Its core tells on stderr, for information, if a server has gone before a client has.
    os.environ["GRPC_VERBOSITY"] = "ERROR"
    import grpc
    import grpc.aio

    strays = []
    over = None

    async def upper(request, context):
        if request == b"fail":
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no")
        if request == b"metadata":
            metadata = dict(context.invocation_metadata())
            context.set_trailing_metadata((("answer", metadata["question"]),))
        return request.upper()

    async def count(request, context):
        for number in range(int(request)):
            yield b"%d" % number

    async def total(requests, context):
        return b"%d" % sum([int(request) async for request in requests])

    async def echo(requests, context):
        async for request in requests:
            yield request

    async def never(request, context):
        over.begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            over.ended.set()

    class Over:
        def __init__(self):
            self.begun, self.ended = asyncio.Event(), asyncio.Event()

    handlers = grpc.method_handlers_generic_handler("test.Service", {
        "Upper": grpc.unary_unary_rpc_method_handler(upper),
        "Count": grpc.unary_stream_rpc_method_handler(count),
        "Total": grpc.stream_unary_rpc_method_handler(total),
        "Echo": grpc.stream_stream_rpc_method_handler(echo),
        "Never": grpc.unary_unary_rpc_method_handler(never),
    })

    async def serve(credentials=None):
        server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        server.add_generic_rpc_handlers((handlers,))
        if credentials is None:
            port = server.add_insecure_port("127.0.0.1:0")
        else:
            port = server.add_secure_port("127.0.0.1:0", credentials)
        await server.start()
        return server, port

    def run(main):
        async def whole():
            global over
            over = Over()
            loop = asyncio.get_running_loop()
            loop.set_debug(False)  # that is: with native handles, where there are some
            loop.set_exception_handler(lambda loop, context: strays.append(context))
            server, port = await serve()
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                await main(server, channel)
            await server.stop(None)
            left = asyncio.all_tasks() - {asyncio.current_task()}
            if left:
                await asyncio.wait(left, timeout=10)
                print("tasks left", [task for task in left if not task.done()])

        with asyncio.Runner(loop_factory=make_loop) as runner:
            runner.run(whole())
        gc.collect()
        print("strays", strays)
"""


def run(kind: str, main: str) -> list[str]:
    """Run ``main(server, channel)`` on a loop in a process of its own; the lines it printed."""
    source = textwrap.dedent(PRELUDE) + textwrap.dedent(main) + "run(main)\n"
    lines = clean_output(kind, source).splitlines()
    assert lines.pop() == "strays []"
    return lines


def test_a_thousand_unary_calls_are_answered(loop_kind: str) -> None:
    main = """
        async def main(server, channel):
            upper = channel.unary_unary("/test.Service/Upper")
            for _ in range(10):
                texts = [b"text %d" % number for number in range(100)]
                answers = await asyncio.gather(*map(upper, texts))
                assert answers == [text.upper() for text in texts]
            large = b"x" * 4_000_000
            assert await upper(large) == large.upper()
            print("answered")
    """
    assert run(loop_kind, main) == ["answered"]


def test_metadata_and_errors_reach_the_client(loop_kind: str) -> None:
    main = """
        async def main(server, channel):
            upper = channel.unary_unary("/test.Service/Upper")
            call = upper(b"metadata", metadata=(("question", "why"),))
            print(await call, (await call.trailing_metadata())["answer"])
            try:
                await upper(b"fail")
            except grpc.aio.AioRpcError as error:
                print(error.code().name, error.details())
            try:
                await channel.unary_unary("/test.Service/Nothing")(b"")
            except grpc.aio.AioRpcError as error:
                print(error.code().name)
    """
    assert run(loop_kind, main) == ["b'METADATA' why", "INVALID_ARGUMENT no", "UNIMPLEMENTED"]


def test_streams_go_from_server_to_client_and_back_and_both_at_once(loop_kind: str) -> None:
    main = """
        async def numbers():
            for number in range(200):
                yield b"%d" % number

        async def main(server, channel):
            count = channel.unary_stream("/test.Service/Count")
            assert [int(item) async for item in count(b"200")] == list(range(200))
            total = channel.stream_unary("/test.Service/Total")
            assert await total(numbers()) == b"%d" % sum(range(200))
            echo = channel.stream_stream("/test.Service/Echo")
            assert [int(item) async for item in echo(numbers())] == list(range(200))
            call = echo()
            for number in range(200):
                await call.write(b"%d" % number)
                assert await call.read() == b"%d" % number
            await call.done_writing()
            assert await call.read() is grpc.aio.EOF
            print((await call.code()).name)
    """
    assert run(loop_kind, main) == ["OK"]


def test_a_call_that_is_cancelled_or_late_is_cancelled_in_the_server(loop_kind: str) -> None:
    main = """
        async def main(server, channel):
            never = channel.unary_unary("/test.Service/Never")
            task = asyncio.create_task(asyncio.wait_for(never(b""), 60))
            await over.begun.wait()
            task.cancel()
            try:
                await task
            except asyncio.CancelledError:
                await over.ended.wait()
                print("cancelled")
            over.ended.clear()
            try:
                await never(b"", timeout=0.1)
            except grpc.aio.AioRpcError as error:
                await over.ended.wait()
                print(error.code().name)
            stream = channel.unary_stream("/test.Service/Count")(b"1000000")
            assert await stream.read() == b"0"
            stream.cancel()
            print((await stream.code()).name)
            print(await channel.unary_unary("/test.Service/Upper")(b"of use"))
    """
    expected = ["cancelled", "DEADLINE_EXCEEDED", "CANCELLED", "b'OF USE'"]
    assert run(loop_kind, main) == expected


def test_a_server_that_stops_lets_a_call_in_progress_end(loop_kind: str) -> None:
    main = """
        async def main(server, channel):
            call = channel.stream_stream("/test.Service/Echo")()
            await call.write(b"one")
            assert await call.read() == b"one"
            stopping = asyncio.create_task(server.stop(30))
            await call.write(b"two")
            print(await call.read())
            await call.done_writing()
            print((await call.code()).name)
            await stopping
            try:
                await channel.unary_unary("/test.Service/Upper")(b"late")
            except grpc.aio.AioRpcError as error:
                print(error.code().name)
    """
    assert run(loop_kind, main) == ["b'two'", "OK", "UNAVAILABLE"]


def test_calls_go_by_tls(loop_kind: str, certificates: Certificates) -> None:
    main = f"""
        async def main(server, channel):
            pem = pathlib.Path({str(certificates.certificate)!r}).read_bytes()
            secure, port = await serve(grpc.ssl_server_credentials([(pem, pem)]))
            trust = pathlib.Path({str(certificates.authority)!r}).read_bytes()
            credentials = grpc.ssl_channel_credentials(trust)
            async with grpc.aio.secure_channel(f"localhost:{{port}}", credentials) as channel:
                print(await channel.unary_unary("/test.Service/Upper")(b"secret"))
            await secure.stop(None)
    """
    assert run(loop_kind, main) == ["b'SECRET'"]


def test_loops_one_after_another_and_in_threads_have_servers(loop_kind: str) -> None:
    main = """
        import threading

        async def main(server, channel):
            print(await channel.unary_unary("/test.Service/Upper")(b"text"))

        run(main)

        async def alone():
            server, port = await serve()
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                for number in range(50):
                    answer = await channel.unary_unary("/test.Service/Upper")(b"%d" % number)
                    assert answer == b"%d" % number
            await server.stop(None)

        def in_thread():
            with asyncio.Runner(loop_factory=make_loop) as runner:
                runner.run(alone())
            answered.append(True)

        answered = []
        threads = [threading.Thread(target=in_thread) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print("threads", len(answered))
    """
    assert run(loop_kind, main) == ["b'TEXT'", "strays []", "threads 2", "b'TEXT'"]
