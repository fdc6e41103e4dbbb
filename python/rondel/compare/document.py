"""The results as JSON: every sample, and the environment they were taken in."""

from __future__ import annotations

import json

from rondel.compare import advice
from rondel.compare.contest import CONTESTANTS, NAMES, WORKS, Results

VERSION = 1


def render(results: Results) -> str:
    """Return the document, with a newline at the end.

    ``cells`` has one entry for every work, number of units and contestant: ``samples`` in the
    ``unit`` of the work (seconds or bytes), with ``median``, ``minimum`` and ``maximum``, or, all
    of these null and ``samples`` empty, the ``reason`` why there are none.
    """
    content = {
        "version": VERSION,
        "environment": results.environment,
        "units": results.sizes,
        "contestants": [{"key": key, "name": NAMES[key]} for key in CONTESTANTS],
        "works": [
            {
                "key": work.key,
                "title": work.title,
                "unit": work.unit,
                "explanation": work.explanation,
            }
            for work in WORKS
        ],
        "cells": [
            {
                "work": cell.work.key,
                "units": cell.units,
                "contestant": cell.contestant,
                "samples": cell.samples,
                "median": cell.median,
                "minimum": min(cell.samples, default=None),
                "maximum": max(cell.samples, default=None),
                "reason": cell.reason,
            }
            for cell in results.cells
        ],
        "advice": [{"title": title, "text": text} for title, text in advice.derive(results)],
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"
