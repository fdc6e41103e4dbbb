"""Rondel's loop as it is with ``spin=True``: a contestant of its own."""

from __future__ import annotations

import rondel

__all__ = ["new_event_loop"]


def new_event_loop() -> rondel.Loop:
    """Return a loop that looks for what arrives before it sleeps."""
    return rondel.new_event_loop(spin=True)
