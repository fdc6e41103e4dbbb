"""What ``python -m rondel --info`` prints: versions, the driver, and what the kernel offers."""

from __future__ import annotations

import platform
import sys

import rondel
from rondel import _rondel


def report() -> str:
    """Return the report: one ``name  value`` line each, without a newline at the end."""
    facts = rondel.driver_report()
    lines = [
        ("rondel", rondel.__version__),
        ("build", str(_rondel.__file__)),
        ("python", f"{platform.python_implementation()} {platform.python_version()}"),
        ("python build", f"{' '.join(platform.python_build())}, {platform.python_compiler()}"),
        ("executable", sys.executable),
        ("kernel", f"{facts['kernel']} {platform.machine()}"),
        ("driver", facts["driver"]),
        *((name, "yes" if there else "no") for name, there in facts["features"].items()),
        *((f"no {name}", reason) for name, reason in facts["fallbacks"].items()),
    ]
    if not facts["fallbacks"]:
        lines.append(("fallbacks", "none"))
    width = max(len(name) for name, _ in lines)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in lines)
