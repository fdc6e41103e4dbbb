"""What a test needs beyond Python: without it the test is skipped, saying so, or fails in CI."""

from __future__ import annotations

import importlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn

import pytest


def in_ci() -> bool:
    """Whether this is a CI run, in which everything is installed and nothing is skipped."""
    return os.environ.get("CI", "").lower() in ("1", "true")


def give_up(reason: str) -> NoReturn:
    """Skip the test, or the module that is being collected; in CI fail it."""
    if in_ci():
        pytest.fail(f"{reason}, and CI tests everything", pytrace=False)
    pytest.skip(reason, allow_module_level=True)


def library(name: str) -> Any:
    """Import the module ``name``, which ``requirements/frameworks.txt`` installs."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name.partition(".")[0]:
            raise
        give_up(f"{name} is not installed (requirements/frameworks.txt)")


def program(name: str, *, package: str, folders: Iterable[Path] = ()) -> Path:
    """The path of the program ``name``, which Debian has in ``package``."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *map(str, folders)])
    found = shutil.which(name, path=path)
    if found is None:
        give_up(f"{name} is not installed (Debian's package {package})")
    return Path(found)
