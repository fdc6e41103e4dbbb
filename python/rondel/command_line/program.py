"""Runs a program in a fresh ``__main__``, and lets it end, as the interpreter itself does.

The reference is what ``python PROGRAM``, ``python -m``, ``-c`` and ``-`` do (CPython's
``Modules/main.c`` and ``Python/pythonrun.c``): ``sys.argv``, ``sys.path[0]``, the attributes of
``__main__``, tracebacks that begin with the program's own frame, and exit codes.
"""

# A Path would tidy up what tracebacks and sys.path show as it was typed.
# ruff: noqa: PTH109, PTH113, PTH118, PTH120, PTH123
from __future__ import annotations

import builtins
import linecache
import marshal
import os
import runpy
import subprocess
import sys
from importlib.machinery import BuiltinImporter, SourceFileLoader, SourcelessFileLoader
from importlib.util import MAGIC_NUMBER
from pkgutil import get_importer
from textwrap import dedent
from types import CodeType, ModuleType, TracebackType
from typing import Any, Literal, NamedTuple


class Program(NamedTuple):
    """What to run: ``target`` is a path, a module name, source text, or ``-``, by ``kind``."""

    kind: Literal["path", "module", "code", "stdin"]
    target: str
    arguments: list[str]


class _CannotRun(Exception):
    """The program cannot be read; ``str()`` is the reason, in the interpreter's words."""


def run(program: Program) -> int:
    """Run ``program`` as ``__main__`` and return the exit code: 0, or 2 if it cannot be read.

    Whatever ends the program otherwise is raised: ``SystemExit``, or the uncaught exception, to
    be reported by the interpreter with the traceback that plain ``python`` would print.
    """
    main = ModuleType("__main__")
    vars(main).update(_attributes())
    sys.modules["__main__"] = main
    is_folder = program.kind == "path" and get_importer(program.target) is not None
    by_runpy = is_folder or program.kind == "module"
    # Plain python runs a program at the bottom of the stack. What is below it here is added to
    # the limit, so that a program recurses exactly as deep as it would there.
    sys.setrecursionlimit(sys.getrecursionlimit() + _depth(by_runpy))
    try:
        if program.kind == "module":
            sys.argv = ["-m", *program.arguments]
            runpy._run_module_as_main(program.target)  # type: ignore[attr-defined]
        elif is_folder:
            _begin(program, os.path.join(os.getcwd(), program.target), always=True)
            runpy._run_module_as_main("__main__", False)  # type: ignore[attr-defined]
        else:
            exec(_load(program, main), vars(main))
    except _CannotRun as error:
        return _refuse(f"{sys.executable}: {error}")
    except SystemExit as error:
        if _is_from_runpy(error):
            return _refuse(str(error))
        raise
    except BaseException as error:
        _report_without_our_frames(error)
        raise
    return 0


def _attributes() -> dict[str, Any]:
    """What a program finds in its ``__main__`` before its first line."""
    attributes: dict[str, Any] = {
        "__name__": "__main__",
        "__doc__": None,
        "__package__": None,
        "__loader__": BuiltinImporter,
        "__spec__": None,
        "__builtins__": builtins,
    }
    if sys.version_info < (3, 14):
        attributes["__annotations__"] = {}
    return attributes


def _load(program: Program, main: ModuleType) -> CodeType:
    """Prepare ``main``, ``sys.argv`` and ``sys.path`` for a script, text or stdin; compile it."""
    if program.kind == "code":
        _begin(program, "")
        # The interpreter takes common indentation off from 3.14 on.
        text = dedent(program.target) if sys.version_info >= (3, 14) else program.target
        code = compile(text, "<string>", "exec", dont_inherit=True)
        _show_in_tracebacks(text, code)
        return code
    if program.kind == "stdin":
        _begin(program, "")
        _locate(main, "<stdin>")
        return compile(sys.stdin.buffer.read(), "<stdin>", "exec", dont_inherit=True)
    path = os.path.join(os.getcwd(), program.target)
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        raise _CannotRun(
            f"can't open file {path!r}: [Errno {error.errno}] {error.strerror}"
        ) from None
    _begin(program, os.path.dirname(os.path.realpath(path)))
    _locate(main, path)
    if content.startswith(MAGIC_NUMBER):
        vars(main)["__loader__"] = SourcelessFileLoader("__main__", path)
        # A .pyc file: magic number, flags, and two words on its source, each of 4 bytes.
        return marshal.loads(content[16:])  # type: ignore[no-any-return]
    vars(main)["__loader__"] = SourceFileLoader("__main__", path)
    try:
        return compile(content, path, "exec", dont_inherit=True)
    except SyntaxError:
        _let_python_explain(path)
        raise


def _begin(program: Program, directory: str, *, always: bool = False) -> None:
    """Set ``sys.argv``, and ``sys.path[0]`` in place of the directory that ``-m rondel`` put."""
    sys.argv = ["-c" if program.kind == "code" else program.target, *program.arguments]
    if not sys.flags.safe_path:
        sys.path[0] = directory
    elif always:
        sys.path.insert(0, directory)


def _locate(main: ModuleType, path: str) -> None:
    main.__file__ = path
    if sys.version_info < (3, 15):
        main.__cached__ = None  # type: ignore[attr-defined]


def _show_in_tracebacks(text: str, code: CodeType) -> None:
    """Let tracebacks quote the text given with ``-c``, as Pythons from 3.13 on do."""
    if hasattr(linecache, "_interactive_cache"):
        linecache._register_code(code, text, "<string>")  # type: ignore[attr-defined]
    elif sys.version_info >= (3, 13):
        lines = [line + "\n" for line in text.splitlines()]
        linecache.cache["<string>"] = (len(text), None, lines, "<string>")


def _let_python_explain(path: str) -> None:
    """Hand a script that does not compile to the interpreter, whose own reader words the error.

    ``python SCRIPT`` reads files with another tokenizer than ``compile`` uses, and says different
    things about encodings, null bytes and tabs. Returns if the script cannot be read twice.
    """
    if os.path.isfile(path):
        flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
        sys.stderr.flush()
        os.execv(sys.executable, [sys.executable, *flags, path])


def _refuse(reason: str) -> int:
    print(reason, file=sys.stderr)
    return 2


def _is_from_runpy(error: SystemExit) -> bool:
    """Whether runpy gave up looking for the program, as opposed to the program ending itself."""
    frames = []
    traceback = error.__traceback__
    while traceback is not None:
        frames.append(traceback.tb_frame)
        traceback = traceback.tb_next
    return len(frames) == 2 and frames[-1].f_globals is vars(runpy)


def _report_without_our_frames(error: BaseException) -> None:
    """Have the interpreter report ``error``, on its way out, with the program's frames alone."""
    own = error.__traceback__
    while own is not None and own.tb_frame.f_globals is globals():
        own = own.tb_next
    hook = getattr(sys, "excepthook", sys.__excepthook__)

    def excepthook(
        kind: type[BaseException], value: BaseException, traceback: TracebackType | None
    ) -> None:
        sys.excepthook = hook
        if value is error:
            traceback = sys.last_traceback = own
            value.__traceback__ = own
        try:
            hook(kind, value, traceback)
        except SystemExit:
            raise
        except BaseException as broken:  # noqa: BLE001 - as the interpreter
            _report_broken_hook(broken, value)

    sys.excepthook = excepthook


def _report_broken_hook(broken: BaseException, original: BaseException) -> None:
    # What the interpreter prints when sys.excepthook raises.
    broken.__traceback__ = broken.__traceback__ and broken.__traceback__.tb_next
    broken.__context__ = None
    print("Error in sys.excepthook:", file=sys.stderr)
    sys.__excepthook__(type(broken), broken, broken.__traceback__)
    print("\nOriginal exception was:", file=sys.stderr)
    sys.__excepthook__(type(original), original, original.__traceback__)


def _depth(by_runpy: bool) -> int:
    """How much of the recursion limit is in use below the program's first frame.

    That is the frames from the caller's down, and on 3.11, which counts calls in C too, the
    ``exec`` that runs ``rondel.__main__`` and, unless runpy runs the program, the one that does.
    """
    depth = 0
    frame = sys._getframe().f_back
    while frame is not None:
        depth += 1
        frame = frame.f_back
    if sys.version_info < (3, 12):
        depth += 1 if by_runpy else 2
    return depth
