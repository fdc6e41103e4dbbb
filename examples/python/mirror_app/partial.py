"""The unfinished file beside the final one, and what is needed to go on with it.

`NAME.part` holds the bytes that have come. `NAME.part.json` says which URL they came from and under
which ETag: only a strong ETag tells that the rest of the file still fits to its beginning. The
note is written before the bytes that it is about, so that no crash leaves a wrong one.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import BinaryIO

PARTIAL_SUFFIXES = (".part", ".part.json")


class PartialFile:
    """What has come of one file until now. Every method may block on the disk."""

    def __init__(self, final: Path, url: str) -> None:
        self.final = final
        self.url = url
        self.part, self.note = (final.with_name(final.name + suffix) for suffix in PARTIAL_SUFFIXES)

    def resumable(self) -> tuple[int, str]:
        """How many bytes are there, and their ETag; `(0, "")` if there is nothing to go on with."""
        try:
            note = json.loads(self.note.read_text(encoding="utf-8"))
            size = self.part.stat().st_size
            if note["url"] == self.url and size > 0:
                return size, str(note["etag"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            pass
        return 0, ""

    def begin(self, etag: str | None) -> BinaryIO:
        """Start from nothing; note `etag` if it is a strong one."""
        self.discard()
        if etag and etag.startswith('"'):
            self.note.write_text(json.dumps({"url": self.url, "etag": etag}), encoding="utf-8")
        return self.part.open("wb")

    def go_on(self) -> BinaryIO:
        """Open the part for more."""
        return self.part.open("ab")

    def sha256(self) -> hashlib._Hash:
        """The SHA-256 of what has come, ready to take in more."""
        with self.part.open("rb") as file:
            return hashlib.file_digest(file, "sha256")

    def finish(self, modified: float | None) -> None:
        """Give the whole file its final name: it is there completely or not at all."""
        with self.part.open("r+b") as file:
            os.fsync(file.fileno())
        if modified is not None:
            os.utime(self.part, (modified, modified))
        self.part.replace(self.final)
        self.note.unlink(missing_ok=True)

    def discard(self) -> None:
        """Forget what has come."""
        self.note.unlink(missing_ok=True)
        self.part.unlink(missing_ok=True)
