"""The results as JSON: every sample, and how it came about; and back."""

from __future__ import annotations

import json
from typing import Any

from benches.contest import Results, Row
from benches.contestants import BASELINES, Contestant
from benches.layouts import Layout
from benches.workload import Workload
from benches.workloads import WORKLOADS

VERSION = 1


def render(results: Results) -> str:
    """Return the document, with a newline at the end.

    ``contestants`` gives each its ``loop`` and ``version``, or the ``reason`` why it took no part.
    ``rows`` has one entry for every number of every workload on every layout, with the ``unit``
    ("s", "bytes" or "/s", the one of which more is better) and, by contestant, the ``samples``,
    their ``median``, ``minimum`` and ``maximum``, and ``times``, how many times as good as a
    baseline by medians; or, all of these null and empty, the ``reason``.
    """
    content = {
        "version": VERSION,
        "environment": results.environment,
        "layouts": {
            layout.name: {"title": layout.title, "loop": layout.loop, "other": layout.other}
            for _, layout in results.measurements
        },
        "contestants": [
            {**contestant._asdict(), **results.loops.get(contestant.name, {})}
            for contestant in results.contestants
        ],
        "rows": [_row(results, row) for row in results.rows],
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _row(results: Results, row: Row) -> dict[str, Any]:
    return {
        "workload": row.workload.name,
        "group": row.group,
        "title": row.title,
        "layout": row.layout.name,
        "metric": row.metric.key,
        "unit": row.metric.unit,
        "cells": {
            cell.contestant.name: {
                "samples": cell.samples,
                "median": cell.median,
                "minimum": min(cell.samples, default=None),
                "maximum": max(cell.samples, default=None),
                "times": {
                    base: results.ratio(row, cell.contestant.name, base) for base in BASELINES
                },
                "reason": cell.reason,
            }
            for cell in results.of_row(row)
        },
    }


def parse(text: str) -> Results:
    """Return the results that :func:`render` wrote, as far as their workloads still exist.

    Raises ValueError if it is another version's document, or none.
    """
    content = json.loads(text)
    if not isinstance(content, dict) or content.get("version") != VERSION:
        raise ValueError(f"no document of version {VERSION}")
    layouts = {
        name: Layout(name, found["title"], tuple(found["loop"]), tuple(found["other"]))
        for name, found in content["layouts"].items()
    }
    workloads = {workload.name: workload for workload in WORKLOADS}
    measurements: dict[tuple[Workload, Layout], None] = {
        (workloads[row["workload"]], layouts[row["layout"]]): None
        for row in content["rows"]
        if row["workload"] in workloads
    }
    results = Results(list(measurements), [_contestant(said) for said in content["contestants"]])
    results.environment.update(content["environment"])
    for said in content["contestants"]:
        results.loops[said["name"]] = {
            key: said[key] for key in ("loop", "version", "reason") if key in said
        }
    entries = {(row["workload"], row["layout"], row["metric"]): row for row in content["rows"]}
    for row in results.rows:
        entry = entries.get((row.workload.name, row.layout.name, row.metric.key))
        for cell in results.of_row(row):
            found = entry["cells"].get(cell.contestant.name) if entry else None
            if found is not None:
                cell.samples, cell.reason = found["samples"], found["reason"]
    return results


def _contestant(said: dict[str, Any]) -> Contestant:
    return Contestant(
        said["name"],
        said["factory"],
        said["interpreter"],
        tuple(said["server"]),
        tuple(said["only"]),
    )
