"""aiohttp serves and asks on the loop; every request is answered."""

from __future__ import annotations

import signal

from support.child import clean_output, start_child
from support.load import load
from support.loops import STDLIB

SERVER = """
    import signal
    from aiohttp import web

    async def hello(request):
        return web.Response(text="hello from the application")

    async def main():
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        application = web.Application()
        application.router.add_get("/", hello)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        print(site._server.sockets[0].getsockname()[1])
        await stop.wait()
        await runner.cleanup()
        print("cleaned up")

    with asyncio.Runner(loop_factory=make_loop) as runner:
        runner.run(main())
"""


def test_every_request_is_answered(loop_kind: str) -> None:
    server = start_child(loop_kind, SERVER, options=("-W", "error"))
    assert server.stdout is not None
    port = server.stdout.readline()
    requests = 2_000 if loop_kind == STDLIB else 50_000
    try:
        assert port.strip().isdigit()
        report = load("127.0.0.1", int(port), requests)
    finally:
        server.send_signal(signal.SIGTERM)
        out, err = server.communicate(timeout=30)
    assert report.errors == []
    assert report.answered >= requests
    assert (out, err, server.returncode) == ("cleaned up\n", "", 0)


CLIENT = """
    import hashlib
    import aiohttp
    from aiohttp import web

    async def describe(request):
        body = await request.read()
        return web.json_response(
            {"method": request.method, "digest": hashlib.sha256(body).hexdigest()}
        )

    async def stream(request):
        response = web.StreamResponse()
        await response.prepare(request)
        for number in range(100):
            await response.write(b"%04d" % number * 1000)
        await response.write_eof()
        return response

    async def websocket(request):
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(message.data.upper())
        return socket

    async def main():
        application = web.Application(client_max_size=2**30)
        application.router.add_route("*", "/describe", describe)
        application.router.add_get("/stream", stream)
        application.router.add_get("/websocket", websocket)
        runner = web.AppRunner(application)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        base = "http://127.0.0.1:%d" % site._server.sockets[0].getsockname()[1]
        async with aiohttp.ClientSession() as session:

            async def post(number):
                body = os.urandom(number * 10_000)
                async with session.post(base + "/describe", data=body) as response:
                    answer = await response.json()
                assert answer == {"method": "POST", "digest": hashlib.sha256(body).hexdigest()}

            await asyncio.gather(*(post(number) for number in range(30)))
            print("posted")
            async with session.get(base + "/stream") as response:
                whole = await response.read()
            assert whole == b"".join(b"%04d" % number * 1000 for number in range(100))
            print("streamed")
            async with session.ws_connect(base + "/websocket") as socket:
                for number in range(100):
                    await socket.send_str("message %d" % number)
                    assert (await socket.receive()).data == "MESSAGE %d" % number
            print("talked")
            try:
                async with session.get(base + "/stream") as response:
                    async with asyncio.timeout(0):
                        await response.read()
            except TimeoutError:
                print("timed out")
        await runner.cleanup()

    with asyncio.Runner(loop_factory=make_loop) as runner:
        runner.run(main())
    print("done")
"""


def test_a_client_and_a_server_on_one_loop(loop_kind: str) -> None:
    out = clean_output(loop_kind, CLIENT)
    assert out.split("\n") == ["posted", "streamed", "talked", "timed out", "done", ""]
