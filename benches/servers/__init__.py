"""Servers as asyncio programs write them. Each returns its address and goes on serving.

They run inside a measured process and import what they need, and nothing else.
"""

from __future__ import annotations
