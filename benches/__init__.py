"""The benchmark: event loops side by side, on work that asyncio programs do.

``make bench`` runs it; :mod:`benches.command` has the options. A *contestant* is any loop that a
``module:factory`` makes. A *workload* is one thing that is measured, in a process of its own for
each contestant and round; contestants take turns, so that what the machine does besides hits all.

What runs inside a measured process (``child``, ``workload``, ``workloads``, ``servers``) imports
neither Rondel nor anything that a contestant's program would not.
"""

from __future__ import annotations
