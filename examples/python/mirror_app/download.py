"""One attempt to bring one target to disk."""

from __future__ import annotations

import asyncio
import hashlib
import re
from email.utils import formatdate, parsedate_to_datetime
from enum import Enum
from pathlib import Path

import aiohttp

from mirror_app.partial import PartialFile
from mirror_app.progress import Track, human
from mirror_app.targets import Target

BLOCK = 256 * 1024

# The answers that another attempt may change: RFC 9110, 15.5.9 and 15.6; RFC 6585, 4.
PASSING = {408, 429, 500, 502, 503, 504}


class PermanentError(Exception):
    """Another attempt would end the same way."""


class TransientError(Exception):
    """Another attempt may succeed, after `pause` seconds if the server asked for a pause."""

    def __init__(self, reason: str, pause: float = 0) -> None:
        super().__init__(reason)
        self.pause = pause


class Outcome(Enum):
    """How a successful attempt ended."""

    FETCHED = "fetched"
    UNCHANGED = "unchanged"


async def download(
    session: aiohttp.ClientSession, target: Target, folder: Path, track: Track
) -> tuple[Outcome, str]:
    """Bring `target` to `folder`, unless it is there and up to date; tell how it went.

    Raises `TransientError` or `PermanentError`; what has come before stays for another attempt.
    """
    try:
        return await attempt(session, target, folder, track)
    except aiohttp.ClientSSLError as error:
        raise PermanentError(str(error)) from error
    except TimeoutError as error:
        raise TransientError("the server is silent") from error
    except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError) as error:
        raise TransientError(short_reason(error)) from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise PermanentError(short_reason(error)) from error


async def attempt(
    session: aiohttp.ClientSession, target: Target, folder: Path, track: Track
) -> tuple[Outcome, str]:
    """As `download`, with the errors of aiohttp and of the disk as they are."""
    final = folder / target.name
    if target.sha256 and await asyncio.to_thread(sha256_of, final) == target.sha256:
        return Outcome.UNCHANGED, "sha256 verified"

    part = PartialFile(final, target.url)
    offset, etag = await asyncio.to_thread(part.resumable)
    headers = conditions(target, final, offset, etag)
    async with session.get(target.url, headers=headers) as response:
        match response.status:
            case 304:
                return Outcome.UNCHANGED, "not modified"
            case 200:
                offset = 0
            case 206 if offset and goes_on(response, offset):
                pass
            case 206 | 416:
                part.discard()
                raise TransientError("what is here is no part of what the server has")
            case status:
                reason = f"HTTP status {status} {response.reason}"
                if status in PASSING:
                    raise TransientError(reason, retry_after(response))
                raise PermanentError(reason)
        sha256 = await receive(response, part, offset, track)

    notes = [human(track.position)]
    if offset:
        notes.append(f"resumed at {human(offset)}")
    if target.sha256:
        if sha256 != target.sha256:
            part.discard()
            reason = f"wrong checksum: sha256 {sha256}, not {target.sha256}"
            raise TransientError(reason) if offset else PermanentError(reason)
        notes.append("sha256 verified")
    await asyncio.to_thread(part.finish, last_modified(response))
    return Outcome.FETCHED, ", ".join(notes)


def conditions(target: Target, final: Path, offset: int, etag: str) -> dict[str, str]:
    """The request's headers: ask for the rest, or for what is newer, or for everything."""
    headers = {"Accept-Encoding": "identity"}  # ranges and checksums are about the bytes as stored
    if offset:
        headers |= {"Range": f"bytes={offset}-", "If-Range": etag}
    elif not target.sha256 and final.exists():
        headers["If-Modified-Since"] = formatdate(final.stat().st_mtime, usegmt=True)
    return headers


async def receive(
    response: aiohttp.ClientResponse, part: PartialFile, offset: int, track: Track
) -> str:
    """Write the body behind the `offset` bytes that are there; return the SHA-256 of it all."""
    sha256 = await asyncio.to_thread(part.sha256) if offset else hashlib.sha256()

    def store(block: bytes) -> None:
        sha256.update(block)
        file.write(block)

    # Leaving waits for a block that is just being written, also when this task is cancelled.
    with part.go_on() if offset else part.begin(response.headers.get("ETag")) as file:
        track.start(offset, response.content_length)
        async for block in response.content.iter_chunked(BLOCK):
            await asyncio.to_thread(store, block)
            track.advance(len(block))
    return sha256.hexdigest()


def goes_on(response: aiohttp.ClientResponse, offset: int) -> bool:
    """Whether a 206 answer brings all that is missing behind the first `offset` bytes."""
    found = re.match(r"bytes (\d+)-(\d+)/(\d+)", response.headers.get("Content-Range", ""))
    return found is not None and int(found[1]) == offset and int(found[2]) + 1 == int(found[3])


def retry_after(response: aiohttp.ClientResponse) -> float:
    """The pause that the server asks for, in seconds; 0 if it does not say."""
    wish = response.headers.get("Retry-After", "")
    return float(wish) if wish.isdecimal() else 0


def last_modified(response: aiohttp.ClientResponse) -> float | None:
    """When the file changed last on the server, in seconds since the epoch, if it says so."""
    try:
        return parsedate_to_datetime(response.headers["Last-Modified"]).timestamp()
    except (KeyError, ValueError):
        return None


def sha256_of(path: Path) -> str | None:
    """The SHA-256 of a file; `None` if there is none."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return None


def short_reason(error: Exception) -> str:
    """What happened, in one line."""
    if isinstance(error, aiohttp.ClientPayloadError):
        return "the connection ended too early"
    return " ".join(str(error).split()) or type(error).__name__
