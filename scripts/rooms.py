"""Check that each room of the house keeps to its rules: what it may name, and how long a file is.

Borders between crates are drawn by what their Cargo.toml lacks; this guards the borders inside a
crate, which no compiler does. The rooms are described in ARCHITECTURE.md.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
LONGEST = 600
"""A file with more lines than this holds more than one idea."""


class Rule(NamedTuple):
    """In ``where``, only the rooms in ``but`` may match ``pattern``."""

    where: str
    pattern: str
    but: tuple[str, ...]
    why: str


ENGINE = "crates/engine/src"
PYTHON = "crates/python/src"
RULES = (
    Rule(
        ENGINE,
        r"\b(rustix|io_uring|libc|signal_hook)::",
        ("clock", "driver", "fork", "ring", "child", "signal", "workers"),
        "system calls live in driver, clock, forks, ring, children, signals and workers",
    ),
    Rule(
        ENGINE,
        r"\bunsafe_code\b",
        ("clock", "driver", "fork", "ring", "child", "signal"),
        "the engine's logic is safe code",
    ),
    Rule(ENGINE, r"\b(pyo3|Python)::", (), "the engine knows nothing of Python"),
    Rule(
        "crates/rondel/src",
        r"\b(io_uring|pyo3)::|\bunsafe_code\b",
        (),
        "the Rust door stands on the engine alone",
    ),
    Rule(
        PYTHON,
        r"\bpyo3::ffi\b|\bunsafe_code\b",
        ("ffi",),
        "the C API is used in ffi/, behind safe functions",
    ),
    Rule(
        PYTHON,
        r"\bio_uring::|\bepoll\b::|\bpolling::",
        (),
        "the loop waits in the engine's driver only",
    ),
    Rule(
        "python/rondel",
        r"\b(ctypes|cffi|epoll)\b",
        (),
        "what runs per callback or per packet is native",
    ),
)


def sources(where: str) -> list[Path]:
    """Return the source files below ``where``."""
    return sorted(path for path in (ROOT / where).rglob("*") if path.suffix in {".rs", ".py"})


def code(path: Path) -> list[str]:
    """Return the lines of ``path`` without comments."""
    comment = r"//.*" if path.suffix == ".rs" else r"#.*"
    return [re.sub(comment, "", line) for line in path.read_text().splitlines()]


def breaches() -> list[str]:
    """Return one line for each breach of a rule."""
    found = []
    for rule in RULES:
        folder = ROOT / rule.where
        for path in sources(rule.where):
            room = path.relative_to(folder).parts[0].removesuffix(".rs").removesuffix(".py")
            if room in rule.but:
                continue
            found += [
                f"{path.relative_to(ROOT)}:{number}: {match.group()}: {rule.why}"
                for number, line in enumerate(code(path), 1)
                if (match := re.search(rule.pattern, line))
            ]
    for where in ("crates", "python", "tests", "examples", "benches", "scripts"):
        for path in sources(where):
            if (length := len(path.read_text().splitlines())) > LONGEST:
                name = path.relative_to(ROOT)
                found.append(f"{name}: {length} lines, more than {LONGEST}: split it by idea")
    return found


if __name__ == "__main__":
    sys.exit("\n".join(breaches()) or None)
