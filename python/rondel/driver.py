"""What loops run on."""

from __future__ import annotations

import os
from typing import TypedDict

from rondel._rondel import LoopCore, kernel_features


class DriverReport(TypedDict):
    """What a loop runs on, as `driver_report` finds it."""

    driver: str
    kernel: str
    features: dict[str, bool]
    fallbacks: dict[str, str]


def driver_report() -> DriverReport:
    """Probe the kernel: the driver that loops use, what it can build on, and what is missing.

    ``features`` says of each whether it is there, ``fallbacks`` why one is not.
    """
    missing, system = kernel_features(), os.uname()
    return {
        "driver": LoopCore.driver,
        "kernel": f"{system.sysname} {system.release}",
        "features": {name: reason is None for name, reason in missing.items()},
        "fallbacks": {name: reason for name, reason in missing.items() if reason is not None},
    }
