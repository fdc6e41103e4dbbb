"""Forked children: their loops and their parent's do not disturb each other."""

from __future__ import annotations

import sys

import pytest
from support.child import clean_output, run_child
from support.loops import RONDEL

FORK_AT_REST = """
    from support.forked import Parent, ended, forked

    loop = make_loop()

    async def begin():
        parent = Parent()
        await parent.open()
        await parent.works()
        return parent

    def live():
        own = make_loop()
        own.run_until_complete(whole_life())
        own.close()

    async def whole_life():
        parent = Parent()
        await parent.open()
        await parent.works()
        await parent.close()

    parent = loop.run_until_complete(begin())
    child = forked(live)
    assert loop.run_until_complete(ended(child)) == 0
    loop.run_until_complete(parent.works())
    loop.run_until_complete(parent.close())
    loop.close()
    print("done")
"""


def test_a_child_forked_at_rest_runs_its_own_loop(loop_kind: str) -> None:
    assert clean_output(loop_kind, FORK_AT_REST) == "done\n"


FORK_WITHIN_A_RUN = """
    from support.forked import Parent, ended, forked

    async def whole_life():
        parent = Parent()
        await parent.open()
        await parent.works()
        await parent.close()

    def live():
        # A child of a running loop has no running loop, and may run one of its own.
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            pass
        else:
            raise AssertionError("the parent's loop runs in the child")
        run(whole_life())

    async def main():
        parent = Parent()
        await parent.open()
        assert await ended(forked(live)) == 0
        await parent.works()
        await parent.close()

    run(main())
    print("done")
"""


def test_a_child_forked_within_a_run_runs_its_own_loop(loop_kind: str) -> None:
    assert clean_output(loop_kind, FORK_WITHIN_A_RUN) == "done\n"


FORK_AND_USE_THE_PARENTS_LOOP = """
    import signal, socket
    from support.forked import Parent, ended, forked

    def watch_more(parent):
        reader, writer = socket.socketpair()
        writer.send(b"ready")
        parent.loop.add_reader(reader, print, "the child's callback ran in the parent")
        parent.loop.add_writer(writer, print, "the child's callback ran in the parent")

    def take_over_signals(parent):
        parent.loop.add_signal_handler(signal.SIGUSR1, print, "the child's handler ran")
        os.kill(os.getpid(), signal.SIGUSR1)

    def close_everything(parent):
        for transport in (parent.writer.transport, parent.udp, parent.pipe):
            transport.close()
        parent.server.close()
        parent.loop.remove_reader(parent.watched)

    def watch_everything_anew(parent):
        for sock in (parent.watched, parent.peer):
            parent.loop.remove_reader(sock)
            parent.loop.add_writer(sock, print, "the child's callback ran in the parent")
            parent.loop.remove_writer(sock)

    ACTIONS = [
        lambda parent: None,
        lambda parent: parent.loop.remove_reader(parent.watched),
        lambda parent: parent.loop.add_reader(parent.watched, print, "in the parent"),
        lambda parent: parent.loop.add_writer(parent.watched, print, "in the parent"),
        lambda parent: parent.watched.close(),
        lambda parent: parent.server.close(),
        lambda parent: parent.writer.transport.abort(),
        lambda parent: parent.writer.close(),
        lambda parent: parent.writer.transport.pause_reading(),
        lambda parent: parent.udp.close(),
        lambda parent: parent.udp.abort(),
        lambda parent: parent.pipe.close(),
        lambda parent: parent.process.kill(),
        lambda parent: parent.process.send_signal(signal.SIGTERM),
        lambda parent: parent.process._transport.close(),
        lambda parent: parent.loop.call_soon(print, "in the parent"),
        lambda parent: parent.loop.call_later(0, print, "in the parent"),
        lambda parent: parent.loop.call_soon_threadsafe(print, "in the parent"),
        lambda parent: parent.loop.stop(),
        lambda parent: parent.loop.remove_signal_handler(signal.SIGUSR1),
        lambda parent: os.kill(os.getpid(), signal.SIGUSR1),
        watch_more,
        take_over_signals,
        close_everything,
        watch_everything_anew,
    ]

    async def main():
        parent = Parent()
        await parent.open()
        for number, act in enumerate(ACTIONS):
            try:
                assert await ended(forked(lambda: act(parent))) == 0
                await parent.works()
            except BaseException as error:
                error.add_note(f"action {number}")
                raise
        await parent.close()

    run(main())
    print("done")
"""


def test_whatever_a_child_does_to_the_parents_loop_is_done_to_its_copy() -> None:
    assert clean_output(RONDEL, FORK_AND_USE_THE_PARENTS_LOOP) == "done\n"


FORK_AND_GO_ON = """
    from support.forked import Parent, ended, forked

    loop = make_loop()
    parent = None

    async def begin():
        global parent
        parent = Parent()
        await parent.open()

    async def nothing_is_there():
        # The parent's callbacks are set here, too, and see what comes here only.
        for _ in range(10):
            await asyncio.sleep(0)

    async def use_and_end():
        reader, writer = await asyncio.open_connection(*own_server.sockets[0].getsockname())
        await reader.read()
        writer.close()
        parent.process._transport.close()
        parent.writer.transport.abort()
        parent.server.close()
        parent.loop.remove_reader(parent.watched)
        await asyncio.sleep(0)

    def go_on():
        global own_server
        hello = lambda reader, writer: writer.close()
        own_server = loop.run_until_complete(asyncio.start_server(hello, "127.0.0.1", 0))
        loop.run_until_complete(nothing_is_there())
        loop.run_until_complete(use_and_end())
        loop.close()

    loop.run_until_complete(begin())
    for _ in range(3):
        assert loop.run_until_complete(ended(forked(go_on))) == 0
        loop.run_until_complete(parent.works())
    loop.run_until_complete(parent.close())
    loop.close()
    print("done")
"""


def test_a_child_may_run_its_copy_of_a_loop_that_rested() -> None:
    assert clean_output(RONDEL, FORK_AND_GO_ON) == "done\n"


WAYS_TO_END = {"sys.exit": 3, "os._exit": 3, "exception": 1, "abort": -6}

FORK_AND_END = """
    import signal
    from support.forked import Parent, ended

    def end(way):
        if way == "sys.exit":
            sys.exit(3)
        if way == "os._exit":
            os._exit(3)
        if way == "abort":
            signal.signal(signal.SIGABRT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGABRT)
        raise RuntimeError("the child's own end")

    async def main(way):
        parent = Parent()
        await parent.open()
        parent.writer.write(b"sent once\\n")  # and not again at the end of the child's turn
        child = os.fork()
        if child == 0:
            end(way)
        print(await ended(child))
        assert await parent.reader.readline() == b"sent once\\n"
        await parent.works()
        await parent.close()

    run(main(sys.argv[1]))
    print("done")
"""


@pytest.mark.parametrize("way", WAYS_TO_END)
def test_a_childs_end_leaves_the_parent_alone(way: str) -> None:
    if sys.version_info >= (3, 14) and way in ("sys.exit", "exception"):
        pytest.skip(
            "asyncio's tasks cannot be left in a forked child from 3.14 on: it does not end"
        )
    # A child that ends with its interpreter finds unclosed what its parent uses, and may say so.
    done = run_child(RONDEL, FORK_AND_END, way, options=("-W", "ignore"))
    assert (done.returncode, done.stdout) == (0, f"{WAYS_TO_END[way]}\ndone\n"), done.stderr
    said = done.stderr.splitlines()
    if way == "exception":
        assert said[0].startswith("Traceback")
        assert said.pop() == "RuntimeError: the child's own end"
        said = [line for line in said[1:] if not line.startswith("  ")]
    assert said == []


FORK_UNDER_LOAD = """
    from support.forked import Parent, ended, echo_once, forked

    CHILDREN, LOADS, ECHOES = 12, 8, 25

    def live(parent):
        for transport in (parent.writer.transport, parent.udp, parent.pipe):
            transport.abort()
        parent.server.close()

        async def own():
            async with asyncio.TaskGroup() as group:
                mine = Parent()
                await mine.open()
                await mine.works()
                await mine.close()
                for _ in range(LOADS):  # and be a client of the parent's
                    group.create_task(echo_once(parent.address))

        run(own())

    async def main():
        parent = Parent()
        await parent.open()
        stop = False

        async def load():
            rounds = 0
            while not stop or rounds < ECHOES:
                assert await echo_once(parent.address) == b"hello\\n"
                rounds += 1
            return rounds

        loads = [asyncio.create_task(load()) for _ in range(LOADS)]
        children = []
        for _ in range(CHILDREN):
            await asyncio.sleep(0)
            children.append(forked(lambda: live(parent)))
        assert await asyncio.gather(*map(ended, children)) == [0] * CHILDREN
        stop = True
        await asyncio.gather(*loads)
        await parent.works()
        await parent.close()

    run(main())
    print("done")
"""


def test_children_forked_under_load_run_loops_beside_the_parents() -> None:
    assert clean_output(RONDEL, FORK_UNDER_LOAD) == "done\n"


FORK_FROM_A_THREAD = """
    import threading, warnings
    from support.forked import Parent, ended, forked

    warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside threads

    def use(parent):
        parent.loop.remove_reader(parent.watched)
        parent.loop.call_soon_threadsafe(print, "in the parent")
        parent.server.close()
        parent.writer.transport.abort()

        async def own():
            mine = Parent()
            await mine.open()
            await mine.works()
            await mine.close()

        run(own())

    async def main():
        parent = Parent()
        await parent.open()
        children = asyncio.Queue()

        def fork():
            child = forked(lambda: use(parent))
            parent.loop.call_soon_threadsafe(children.put_nowait, child)

        thread = threading.Thread(target=fork)
        thread.start()
        child = await children.get()  # parked, most likely, while the thread forks
        thread.join()
        assert await ended(child) == 0
        await parent.works()
        await parent.close()

    run(main())
    print("done")
"""


def test_a_child_forked_by_another_thread_leaves_the_loop_alone() -> None:
    assert clean_output(RONDEL, FORK_FROM_A_THREAD) == "done\n"


MULTIPROCESSING = """
    import multiprocessing
    from support.forked import Parent, ended

    def work(parent, results):
        parent.loop.remove_reader(parent.watched)
        parent.server.close()

        async def own():
            mine = Parent()
            await mine.open()
            await mine.works()
            await mine.close()
            return "worked"

        results.send(run(own()))

    async def main():
        parent = Parent()
        await parent.open()
        context = multiprocessing.get_context("fork")
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=work, args=(parent, sender))
        process.start()
        answered = asyncio.Event()
        parent.loop.add_reader(receiver, answered.set)
        await answered.wait()
        parent.loop.remove_reader(receiver)
        assert receiver.recv() == "worked"
        ended = asyncio.Event()
        parent.loop.add_reader(process.sentinel, ended.set)
        await ended.wait()
        parent.loop.remove_reader(process.sentinel)
        process.join()
        assert process.exitcode == 0
        for one in (process, receiver, sender):
            one.close()
        await parent.works()
        await parent.close()

    run(main())
    print("done")
"""


def test_a_process_of_multiprocessing_forked_within_a_run_leaves_the_loop_alone() -> None:
    assert clean_output(RONDEL, MULTIPROCESSING) == "done\n"


FORK_BY_C = """
    import ctypes
    from support.forked import Parent, ended

    async def main():
        parent = Parent()
        await parent.open()
        child = ctypes.PyDLL(None).fork()
        if child == 0:
            parent.loop.remove_reader(parent.watched)
            parent.loop.add_writer(parent.peer, print, "in the parent")
            parent.server.close()
            parent.writer.transport.abort()
            os._exit(0)
        assert await ended(child) == 0
        await parent.works()
        await parent.close()

    run(main())
    print("done")
"""


def test_a_child_forked_by_c_code_leaves_the_loop_alone() -> None:
    assert clean_output(RONDEL, FORK_BY_C) == "done\n"


FORK_BESIDE_THREADS = """
    import warnings
    from support.forked import PATIENCE, ended, forked

    warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside threads

    async def use_threads():
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(PATIENCE):
            assert await asyncio.to_thread(lambda: "ran") == "ran"
            assert await loop.getaddrinfo("localhost", 80)

    def live():
        run(use_threads())

    async def main():
        await use_threads()
        assert await ended(forked(live)) == 0
        await use_threads()

    run(main())
    print("done")
"""


def test_a_childs_loop_has_threads_of_its_own(loop_kind: str) -> None:
    assert clean_output(loop_kind, FORK_BESIDE_THREADS) == "done\n"
