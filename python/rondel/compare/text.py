"""Numbers as people read them."""

from __future__ import annotations

from typing import Literal

_TIMES = (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6), ("ns", 1e-9))
_SIZES = (("GiB", 2.0**30), ("MiB", 2.0**20), ("KiB", 2.0**10), ("B", 1.0))


def scale(value: float, unit: Literal["s", "bytes"]) -> tuple[str, float]:
    """Return the name and the factor of the largest unit that ``value`` is at least one of."""
    scales = _TIMES if unit == "s" else _SIZES
    for name, factor in scales:
        if value >= factor:
            return name, factor
    return scales[-1]


def number(value: float) -> str:
    """Return three significant digits or so: 0.123, 1.23, 12.3, 123, 1234."""
    if value >= 100:
        return f"{value:.0f}"
    if value >= 10:
        return f"{value:.1f}"
    if value >= 0.9995:
        return f"{value:.2f}"
    return f"{value:.3f}" if value >= 0.01 else f"{value:.3g}"


def quantity(value: float, unit: Literal["s", "bytes"]) -> str:
    """Return ``value``, in seconds or bytes, as "12.3 ms" or "1.23 MiB"."""
    # Rounding may reach the next unit: 999.7 µs is 1.00 ms.
    name, factor = scale(value * 1.0005, unit)
    return f"{number(value / factor)} {name}"


def units(count: int) -> str:
    """Return "1 unit" or "10,000 units"."""
    return f"{count:,} unit" if count == 1 else f"{count:,} units"


def times(ratio: float) -> str:
    """Return a factor as "1.3x" or "25x"."""
    return f"{ratio:.1f}x" if ratio < 10 else f"{ratio:.0f}x"
