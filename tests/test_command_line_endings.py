"""A program on Rondel ends as under plain python: output, traceback, exit code, and Ctrl-C."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.programs import RONDEL, TIMEOUT, Outcome, python, same, write

ENDINGS: dict[str, str | bytes] = {
    "exit code": "import sys; sys.exit(3)",
    "exit code beyond a byte": "import sys; sys.exit(259)",
    "exit message": "import sys; print('out'); sys.exit('message')",
    "exit without a code": "import sys; sys.exit()",
    "exit with an object": "raise SystemExit([1, 2])",
    "immediate exit": "import os; os._exit(7)",
    "exit from a coroutine": "import asyncio, sys\nasync def f(): sys.exit(5)\nasyncio.run(f())",
    "killed": "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
    "uncaught": "def f():\n    return 1 / 0\n\nprint('out')\nf()",
    "chained": "try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    raise KeyError('k') from e",
    "in a handler": "try:\n    1 / 0\nexcept ZeroDivisionError:\n    undefined_name",
    "group": "raise ExceptionGroup('many', [ValueError(1), ExceptionGroup('in', [KeyError(2)])])",
    "with a note": "e = ValueError('v')\ne.add_note('a note')\nraise e",
    "deep recursion": "def f(n):\n    return f(n + 1)\n\nf(0)",
    "an exception without words": "class E(Exception):\n    __str__ = None\n\nraise E",
    "a traceback of its own": "try:\n    1/0\nexcept Exception as e:\n"
    "    raise e.with_traceback(None)",
    "a suggestion": "import collections\ncollections.namedtouple",
    "interrupt raised by hand": "raise KeyboardInterrupt",
    "interrupt derived": "class Stop(KeyboardInterrupt): pass\nraise Stop('now')",
    "excepthook": "import sys\n"
    "def hook(kind, value, tb):\n"
    "    print('hook', kind, value, tb.tb_lineno, tb.tb_next, sys.last_traceback is tb,\n"
    "        value.__traceback__ is tb, sys.excepthook is hook)\n"
    "sys.excepthook = hook\n"
    "1 / 0",
    "excepthook that exits": "import sys\nsys.excepthook = lambda *a: sys.exit(9)\n1 / 0",
    "excepthook that fails": "import sys\n"
    "def hook(*a):\n    raise KeyError('hook')\n"
    "sys.excepthook = hook\n"
    "1 / 0",
    "exit handler that fails": "import atexit\n"
    "class F:\n    def __call__(self): 1 / 0\n    def __repr__(self): return 'F'\n"
    "atexit.register(F())",
    "exit handler after an error": "import atexit, sys\n"
    "atexit.register(lambda: print(sys.excepthook is sys.__excepthook__))\n"
    "1 / 0",
    "thread that fails": "import threading\n"
    "def f():\n    1 / 0\n"
    "t = threading.Thread(target=f, name='t')\nt.start()\nt.join()",
    "import that fails": "import no_such_module",
    "syntax error": "x = 1\ndef f(:\n    pass\n",
    "syntax error at the end": "if True:\n",
    "bad indentation": "if True:\n    x = 1\n\ty = 2\n",
    "unterminated string": 'x = """abc\n',
    "not utf-8": b'print("ok")\nx = "\xe9"\n',
    "unknown encoding": b"# -*- coding: no-such -*-\nx = 1\n",
    "declared encoding": 'print(ascii("é"))\n1/0 # é\n'.encode("latin-1").join(
        [b"# -*- coding: latin-1 -*-\n", b""]
    ),
    "null byte": b"x = 1\n\x00y = 2\n",
    "byte order mark": b'\xef\xbb\xbfprint("mark")\n',
    "windows lines": b"print(1)\r\nprint(2)\r\n1/0\r\n",
    "no newline at the end": "print('end')",
    "empty": "",
    "future import": "from __future__ import annotations\ndef f(x: undefined): pass\nprint('ok')",
    "no future leaks in": "def f(x: int): pass\nprint(f.__annotations__)",
    "warning of the compiler": "print('x' is 'y')\nprint('\\d')\n",
}


@pytest.mark.parametrize("text", ENDINGS.values(), ids=ENDINGS.keys())
def test_a_program_ends_with_the_same_output_and_exit_code(
    tmp_path: Path, text: str | bytes
) -> None:
    write(tmp_path, text)
    same(tmp_path, "program.py")


@pytest.mark.parametrize(
    "name", ["exit code", "exit message", "uncaught", "chained", "deep recursion", "syntax error"]
)
def test_a_module_ends_with_the_same_output_and_exit_code(tmp_path: Path, name: str) -> None:
    write(tmp_path, ENDINGS[name])
    same(tmp_path, "-m", "program")


@pytest.mark.parametrize(
    "name", ["exit code", "exit message", "uncaught", "chained", "deep recursion", "syntax error"]
)
def test_text_ends_with_the_same_output_and_exit_code(tmp_path: Path, name: str) -> None:
    text = ENDINGS[name]
    assert isinstance(text, str)
    same(tmp_path, "-c", text)
    same(tmp_path, "-", stdin=text)


def test_an_error_out_of_a_coroutine_shows_the_frames_of_the_program(tmp_path: Path) -> None:
    text = """\
import asyncio

async def inner():
    await asyncio.sleep(0)
    raise ValueError("inner")

async def main():
    async with asyncio.TaskGroup() as group:
        group.create_task(inner())

asyncio.run(main())
"""
    write(tmp_path, text)
    plain = python("program.py", cwd=tmp_path)
    on_rondel = python(*RONDEL, "program.py", cwd=tmp_path)
    assert on_rondel.returncode == plain.returncode == 1
    assert "rondel/command_line" not in on_rondel.stderr
    assert "runpy" not in on_rondel.stderr
    # What the loop itself adds between the program's frames is its own business.
    frames = re.compile(rf'File "{re.escape(str(tmp_path))}/program.py", line \d+, in .*')
    assert frames.findall(on_rondel.stderr) == frames.findall(plain.stderr)
    assert on_rondel.stderr.splitlines()[-1] == plain.stderr.splitlines()[-1]


# Ctrl-C

READY = "import asyncio, threading, time\ndef ready(): print('ready', flush=True)\n"

# Each is interrupted once for every call of ready() that its run makes.
INTERRUPTED = {
    "sleeping": """
async def main():
    asyncio.get_running_loop().call_soon(ready)
    await asyncio.sleep(3600)
asyncio.run(main())
""",
    "busy with callbacks": """
async def main():
    loop = asyncio.get_running_loop()
    def again():
        loop.call_soon(again)
    again()
    loop.call_soon(ready)
    await loop.create_future()
asyncio.run(main())
""",
    "in a thread": """
async def main():
    stopped = threading.Event()
    def wait():
        ready()
        stopped.wait()
    try:
        await asyncio.to_thread(wait)
    finally:
        stopped.set()
asyncio.run(main())
""",
    "tidying up": """
async def main():
    ready()
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        print("cancelled")
        raise
    finally:
        await asyncio.sleep(0)
        print("tidy")
asyncio.run(main())
""",
    "surviving": """
async def main():
    ready()
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        print("survived")
asyncio.run(main())
""",
    # The first Ctrl-C under asyncio.run only cancels, which code that never awaits does not see.
    "blocking, twice": """
async def main():
    ready()
    while not asyncio.current_task().cancelling():
        time.sleep(0.001)
    ready()
    while True:
        time.sleep(0.01)  # one long sleep would miss a signal that comes just before it
asyncio.run(main())
""",
    "computing, twice": """
async def main():
    ready()
    while not asyncio.current_task().cancelling():
        pass
    ready()
    while True:
        pass
asyncio.run(main())
""",
    "blocking without a runner": """
async def main():
    ready()
    while True:
        time.sleep(0.01)  # one long sleep would miss a signal that comes just before it
loop = asyncio.new_event_loop()
try:
    loop.run_until_complete(main())
finally:
    loop.close()
""",
    "waiting without a runner": """
loop = asyncio.new_event_loop()
loop.call_soon(ready)
try:
    loop.run_forever()
except KeyboardInterrupt:
    print("stopped", loop.is_running())
finally:
    loop.close()
""",
    "busy without a runner": """
loop = asyncio.new_event_loop()
def again():
    loop.call_soon(again)
again()
loop.call_soon(ready)
try:
    loop.run_forever()
finally:
    print("stopped", loop.is_running())
    loop.close()
""",
}


def interrupt(cwd: Path, *arguments: str, times: int = 1) -> Outcome:
    """Run a program, send it SIGINT whenever it has said that it is ready, and see how it ends."""
    with subprocess.Popen(
        [sys.executable, *arguments],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            for _ in range(times):
                assert process.stdout.readline() == "ready\n"
                process.send_signal(signal.SIGINT)
            stdout, stderr = process.communicate(timeout=TIMEOUT)
        except BaseException:
            process.kill()
            raise
    return Outcome(stdout, stderr, process.returncode)


@pytest.mark.parametrize("name", INTERRUPTED)
def test_ctrl_c_ends_a_program_as_it_does_under_plain_python(tmp_path: Path, name: str) -> None:
    write(tmp_path, READY + INTERRUPTED[name])
    times = 2 if "twice" in name else 1
    plain = interrupt(tmp_path, "program.py", times=times)
    on_rondel = interrupt(tmp_path, *RONDEL, "program.py", times=times)
    assert on_rondel.returncode == plain.returncode
    assert on_rondel.stdout == plain.stdout
    assert on_rondel.stderr.splitlines()[-1:] == plain.stderr.splitlines()[-1:]
    assert "rondel/command_line" not in on_rondel.stderr
    assert "runpy" not in on_rondel.stderr


@pytest.mark.parametrize("program", [("program.py",), ("-m", "program")], ids=["script", "module"])
def test_ctrl_c_outside_any_loop_kills_the_process_by_the_signal(
    tmp_path: Path, program: tuple[str, ...]
) -> None:
    text = """\
import atexit, signal, time
atexit.register(print, "exit handler")
# Blocked until it is there, the signal interrupts both runs at the same place.
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
print("ready", flush=True)
while signal.SIGINT not in signal.sigpending():
    pass
signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
"""
    write(tmp_path, text)
    plain = interrupt(tmp_path, *program)
    assert interrupt(tmp_path, *RONDEL, *program) == plain
    assert plain.returncode == -signal.SIGINT
    assert plain.stdout == "exit handler\n"
