"""Executors, as those of `concurrent.futures`: for calls that would keep the loop from its work."""

from __future__ import annotations

from rondel.executors.threads import ThreadPoolExecutor, ThreadPoolStats

__all__ = ["ThreadPoolExecutor", "ThreadPoolStats"]
