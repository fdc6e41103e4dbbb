"""Which event loop a program, and the processes that it starts, get from ``python -m rondel``."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from support.programs import RONDEL, python, same, write

LOOPS = {
    "asyncio.run": "async def main():\n    show(asyncio.get_running_loop())\nasyncio.run(main())",
    "no factory": "async def main():\n    show(asyncio.get_running_loop())\n"
    "with asyncio.Runner(loop_factory=None) as runner:\n    runner.run(main())",
    "new_event_loop": "show(loop := asyncio.new_event_loop())\nloop.close()",
    "from the events module": "show(loop := asyncio.events.new_event_loop())\nloop.close()",
    "imported by name": "from asyncio import new_event_loop\n"
    "show(loop := new_event_loop())\nloop.close()",
    "in a thread": "import threading\n"
    "async def main():\n    show(asyncio.get_running_loop())\n"
    "t = threading.Thread(target=lambda: asyncio.run(main()))\nt.start()\nt.join()",
    "unittest": "import unittest\n"
    "class Test(unittest.IsolatedAsyncioTestCase):\n"
    "    async def test(self):\n        show(asyncio.get_running_loop())\n"
    "unittest.TextTestRunner(stream=open('/dev/null', 'w')).run(Test('test'))",
}


def loop_program(text: str) -> str:
    return f"import asyncio\ndef show(loop): print(type(loop).__module__)\n{text}\n"


@pytest.mark.parametrize("text", LOOPS.values(), ids=LOOPS.keys())
def test_asyncio_makes_rondel_loops(tmp_path: Path, text: str) -> None:
    write(tmp_path, loop_program(text))
    outcome = python("-W", "ignore::ResourceWarning", *RONDEL, "program.py", cwd=tmp_path)
    assert outcome.stderr == ""
    assert outcome.stdout.startswith("rondel")


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="get_event_loop() creates no loop here")
def test_get_event_loop_makes_a_rondel_loop(tmp_path: Path) -> None:
    write(tmp_path, loop_program("show(loop := asyncio.get_event_loop())\nloop.close()"))
    outcome = python("-W", "ignore", *RONDEL, "program.py", cwd=tmp_path)
    assert outcome.stderr == ""
    assert outcome.stdout.startswith("rondel")


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="policies are deprecated here")
@pytest.mark.parametrize(
    "text",
    [
        "asyncio.set_event_loop_policy(None)",
        (
            "class Policy(asyncio.DefaultEventLoopPolicy): pass\n"
            "asyncio.set_event_loop_policy(Policy())"
        ),
    ],
    ids=["reset", "derived"],
)
def test_a_program_that_touches_the_default_policy_stays_on_rondel(
    tmp_path: Path, text: str
) -> None:
    write(tmp_path, loop_program(text + "\nshow(loop := asyncio.new_event_loop())\nloop.close()"))
    assert python(*RONDEL, "program.py", cwd=tmp_path).stdout.startswith("rondel")


@pytest.mark.skipif(sys.version_info < (3, 13), reason="asyncio.EventLoop is new in 3.13")
def test_the_platform_loop_is_rondels(tmp_path: Path) -> None:
    write(tmp_path, loop_program("show(loop := asyncio.EventLoop())\nloop.close()"))
    assert python(*RONDEL, "program.py", cwd=tmp_path).stdout.startswith("rondel")


@pytest.mark.parametrize(
    "text",
    [
        "show(loop := asyncio.SelectorEventLoop())\nloop.close()",
        (
            "async def main(): show(asyncio.get_running_loop())\n"
            "with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:\n"
            "    runner.run(main())"
        ),
    ],
    ids=["class", "factory"],
)
def test_a_loop_that_the_program_names_is_respected(tmp_path: Path, text: str) -> None:
    write(tmp_path, loop_program(text))
    assert same(tmp_path, "program.py").stdout == "asyncio.unix_events\n"


def test_a_policy_that_the_program_brings_is_respected(tmp_path: Path) -> None:
    text = """\
import asyncio, warnings
warnings.simplefilter("ignore")
class Policy(asyncio.DefaultEventLoopPolicy):
    def new_event_loop(self):
        return asyncio.SelectorEventLoop()
asyncio.set_event_loop_policy(Policy())
loop = asyncio.new_event_loop()
print(type(loop))
loop.close()
"""
    write(tmp_path, text)
    assert "unix_events" in same(tmp_path, "program.py").stdout


@pytest.mark.parametrize("flags", [(), ("-E",), ("-I",)])
@pytest.mark.parametrize("debug", [(), ("--debug",)], ids=["plain", "debug"])
def test_debug_turns_on_the_debug_mode_of_asyncio(
    tmp_path: Path, flags: tuple[str, ...], debug: tuple[str, ...]
) -> None:
    text = "loop = asyncio.new_event_loop()\nprint(loop.get_debug())\nloop.close()"
    write(tmp_path, f"import asyncio\n{text}\n")
    outcome = python(*flags, *RONDEL, *debug, "program.py", cwd=tmp_path)
    assert outcome == (f"{bool(debug)}\n", "", 0)


def test_a_program_may_turn_debug_mode_off_again(tmp_path: Path) -> None:
    text = "async def main():\n    print(asyncio.get_running_loop().get_debug())\n"
    write(tmp_path, f"import asyncio\n{text}asyncio.run(main(), debug=False)\n")
    assert python(*RONDEL, "--debug", "program.py", cwd=tmp_path) == ("False\n", "", 0)


# Other processes

POOL = """\
import asyncio, multiprocessing, os, sys
from concurrent.futures import ProcessPoolExecutor

class Task:
    def __init__(self, number):
        self.number = number

def work(task):
    assert os.getpid() != task.parent
    return __name__, task.number ** 2, type(task).__qualname__

async def main():
    loop = asyncio.get_running_loop()
    context = multiprocessing.get_context(sys.argv[1])
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        tasks = [Task(n) for n in range(4)]
        for task in tasks:
            task.parent = os.getpid()
        print(await asyncio.gather(*(loop.run_in_executor(pool, work, task) for task in tasks)))
        print(await asyncio.to_thread(sum, [1, 2]))

if __name__ == "__main__":
    asyncio.run(main())
"""

START_METHODS = ("spawn", "forkserver", "fork")


@pytest.mark.parametrize("method", START_METHODS)
def test_a_process_pool_runs_functions_of_the_program(tmp_path: Path, method: str) -> None:
    write(tmp_path, POOL)
    assert "36" not in same(tmp_path, "program.py", method).stderr
    same(tmp_path, "-m", "program", method)


@pytest.mark.parametrize("method", START_METHODS)
@pytest.mark.parametrize("debug", [False, True], ids=["plain", "debug"])
def test_a_child_process_runs_its_asyncio_on_rondel_too(
    tmp_path: Path, method: str, debug: bool
) -> None:
    text = """\
import asyncio, multiprocessing, sys

async def child():
    loop = asyncio.get_running_loop()
    print(type(loop).__module__.split(".")[0], loop.get_debug(), flush=True)

def work():
    asyncio.run(child())

def nested(context):
    work()
    start(multiprocessing.get_context(context), work)

def start(context, function, *arguments):
    process = context.Process(target=function, args=arguments)
    process.start()
    process.join()

if __name__ == "__main__":
    start(multiprocessing.get_context(sys.argv[1]), nested, sys.argv[1])
"""
    write(tmp_path, text)
    options = ("--debug",) if debug else ()
    outcome = python("-E", *RONDEL, *options, "program.py", method, cwd=tmp_path)
    assert outcome == (f"rondel {debug}\n" * 2, "", 0)
