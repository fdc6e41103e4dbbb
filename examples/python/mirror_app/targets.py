"""What to download: the URLs, the names they are saved under, the checksums they must have."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote, urldefrag, urlsplit

from mirror_app.partial import PARTIAL_SUFFIXES


@dataclass(frozen=True, slots=True)
class Target:
    """One thing to download: `url` without its fragment; `sha256` in lower-case hexadecimal."""

    url: str
    name: str
    sha256: str | None


def parse_target(text: str) -> Target:
    """Read `URL` or `URL#sha256=HEX`. Raises `ValueError` for what cannot be downloaded."""
    if not text.isprintable():
        raise ValueError(f"not a URL: {text!a}")
    url, fragment = urldefrag(text)
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"not an http or https URL: {text}")
    sha256 = None
    if fragment.startswith("sha256="):
        sha256 = fragment.removeprefix("sha256=").lower()
        if not re.fullmatch(r"[0-9a-f]{64}", sha256):
            raise ValueError(f"not a SHA-256 sum of 64 hexadecimal digits: {text}")
    return Target(url, file_name(parts.path), sha256)


def file_name(path: str) -> str:
    """The name for the last segment of a URL's path: never a way out of the folder."""
    name = re.sub(r"[/\\\x00-\x1f\x7f]", "_", unquote(path.rpartition("/")[2]))
    return f"_{name}" if name in (".", "..") else name or "index.html"


def parse_targets(texts: Iterable[str]) -> list[Target]:
    """Read many, each once. Raises `ValueError` if two of them would be saved in the same place."""
    targets = list(dict.fromkeys(parse_target(text) for text in texts))
    owners: dict[str, Target] = {}
    for target in targets:
        for suffix in ("", *PARTIAL_SUFFIXES):
            owner = owners.setdefault(target.name + suffix, target)
            if owner is not target:
                raise ValueError(f"{owner.url} and {target.url} would be saved under the same name")
    return targets


def read_list(lines: Iterable[str]) -> list[str]:
    """The URLs of a list: one a line; empty lines and lines that begin with `#` say nothing."""
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
