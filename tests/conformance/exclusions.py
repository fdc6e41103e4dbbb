"""The tests that Rondel is not asked to pass, each with its reason."""

from __future__ import annotations

import sys
import tomllib
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

TABLE = Path(__file__).with_name("exclusions.toml")


@dataclass(frozen=True)
class Exclusion:
    """Tests of some Pythons that test how asyncio's loop is made."""

    test: str
    """The test's name, or a pattern of names: ``*`` stands for anything."""
    reason: str
    versions: tuple[str, ...] = ()
    """The Pythons, as "3.13"; all of them if there is none."""
    sometimes: bool = False
    """Whether it may pass, which is an accident; the judge of the loop knows no such test."""
    hangs: bool = False
    """Whether it never ends, and so is not run; the judge of the loop knows no such test."""

    def applies(self, version: tuple[int, ...] = sys.version_info[:2]) -> bool:
        """Whether it is about a Python; about the running one, if none is named."""
        return not self.versions or ".".join(map(str, version)) in self.versions

    def matches(self, test: str) -> bool:
        """Whether it is about a test."""
        return fnmatchcase(test, self.test)


def as_markdown(exclusions: list[Exclusion]) -> str:
    """Return the table that `docs/conformance.md` has."""
    lines = ["| test | Pythons | reason |", "|---|---|---|"]
    for each in exclusions:
        name = each.test.removeprefix("test.test_asyncio.")
        lines.append(f"| `{name}` | {', '.join(each.versions) or 'all'} | {each.reason} |")
    return "\n".join(lines)


def read(table: Path = TABLE) -> list[Exclusion]:
    """Read the table.

    Raises TypeError for a row with too little or too much in it, ValueError if it gives no reason.
    """
    rows = tomllib.loads(table.read_text()).get("exclude", [])
    exclusions = [Exclusion(**{**row, "versions": tuple(row.get("versions", ()))}) for row in rows]
    if unexplained := [each.test for each in exclusions if not each.reason.strip()]:
        raise ValueError(f"excluded without a reason: {', '.join(unexplained)}")
    return exclusions
