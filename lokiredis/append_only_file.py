"""The end of an append-only file whose server was killed: a call that was cut off in the middle must go whole.

Redis writes what a script did as MULTI … EXEC. When only a part of that is on the disk, a restart takes none of it, but
cuts off no more than the command that is incomplete: the MULTI stays in the file, open, and all that is written from
then on stands inside it. The next restart loses that, or does the half call after all. Redis and Valkey have this error
up to the summer of 2026 (valkey-io/valkey, pull request 4342).
"""

from __future__ import annotations

import logging
import mmap
import os
import re
from pathlib import Path

from .errors import LokiRedisError

_MULTI = b"*1\r\n$5\r\nMULTI\r\n"
_EXEC = b"*1\r\n$4\r\nEXEC\r\n"
#: In seconds. The check reads about 100 MB/s.
_LONGEST_CHECK = 300

log = logging.getLogger("lokiredis.embedded")


def drop_open_call(folder: Path, program: str) -> int:
    """Cut the file of a server that is not running before the call that is not whole; returns by how many bytes.

    *folder* is the server's ``dir``, *program* that server's. What is cut off is kept beside it. A file that is damaged
    in any other way is left as it is: Redis says more about it. Raises LokiRedisError when the file can't be cut.
    """
    try:
        path = _growing_file(folder)
        if path is None:
            return 0
        size, end = path.stat().st_size, _end_of_whole_calls(path, program)
    except (OSError, ValueError, LookupError) as e:
        log.warning("the end of the append-only file in %s can't be looked at: %s", folder, e)
        return 0
    if end == size:
        return 0
    try:
        with path.open("r+b") as file:
            file.seek(end)
            with (folder / f"{path.name}.cut-at-{end}").open("wb") as kept:
                kept.write(file.read())
                os.fsync(kept.fileno())
            file.truncate(end)
            os.fsync(file.fileno())
    except OSError as e:
        raise LokiRedisError(f"{path} ends in half a call, which can't be cut off: {e}") from None
    log.warning("%s: a call that nobody had an answer to was cut off: %d bytes", path, size - end)
    return size - end


def _growing_file(folder: Path) -> Path | None:
    """Redis 7 names its files in a manifest, of which the last one grows; 6.2 has one."""
    manifest = folder / "appendonlydir" / "appendonly.aof.manifest"
    found = folder / "appendonly.aof"
    if manifest.exists():
        lines = [line.split() for line in manifest.read_text().splitlines() if not line.startswith("#")]
        files = [dict(zip(words[::2], words[1::2], strict=True)) for words in lines]
        grows = [file for file in files if file.get("type") == "i"]
        if not grows:
            return None
        found = manifest.parent / max(grows, key=lambda file: int(file["seq"]))["file"]
    return found if found.is_file() else None


def _end_of_whole_calls(path: Path, program: str) -> int:
    """Where an open MULTI begins that ends the file; else the file's end. Raises ValueError for what isn't known."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - len(_EXEC), 0))
        # As nearly every file ends, which spares it the check: that a kill cuts just behind a text with such an end is
        # not to be feared.
        if size == 0 or file.read().upper() == _EXEC:
            return size
        # Where commands begin can be told from the front only: any text in them may look like one.
        end = _checked_until(path, program)
        if end >= size:
            return size
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return end if _is_open(data, end) else size


def _checked_until(path: Path, program: str) -> int:
    """Up to where the file consists of whole commands and transactions, as the server's own program for that says."""
    import subprocess

    # The server is that program when it is called by its name.
    words = ["redis-check-aof+valkey-check-aof", str(path)]
    try:
        run = subprocess.run(
            words, executable=program, stdin=subprocess.DEVNULL, capture_output=True, timeout=_LONGEST_CHECK
        )
    except subprocess.SubprocessError as e:
        raise ValueError(str(e)) from None
    found = re.search(rb"ok_up_to=(\d+)", run.stdout)
    if found is None:
        raise ValueError(f"{program} can't check it")
    return int(found[1])


def _is_open(data: mmap.mmap, at: int) -> bool:
    """Whether a MULTI that begins there has no end, and all behind it is what Redis writes, save that it is cut off."""
    begun = False
    try:
        while at < len(data):
            following = _after(data, at)
            if following is None:
                return begun
            command = data[at:following].upper() if following - at <= len(_MULTI) else b""
            if command == _EXEC or not (begun or command == _MULTI or data[at : at + 1] == b"#"):
                return False
            begun = begun or command == _MULTI
            at = following
    except ValueError:
        return False
    return begun


def _after(data: mmap.mmap, at: int) -> int | None:
    """Where the command at *at* ends; None when it is cut off. Raises ValueError when none begins there."""
    end = len(data)
    if data[at : at + 1] == b"#":  # a remark, as aof-timestamp-enabled writes them
        found = data.find(b"\r\n", at)
        return None if found < 0 else found + 2
    count, at = _number(data, at, b"*")
    for _ in range(count or 0):
        length, at = _number(data, at, b"$")
        if length is None or at + length + 2 > end:
            return None
        at += length
        if data[at : at + 2] != b"\r\n":
            raise ValueError(at)
        at += 2
    return None if count is None else at


def _number(data: mmap.mmap, at: int, sign: bytes) -> tuple[int | None, int]:
    """The number of a line and where the next one begins; None when the line is cut off."""
    line_end = data.find(b"\r\n", at, at + 32)
    line = data[at : line_end if line_end >= 0 else at + 32]
    if line_end < 0 and at + len(line) == len(data) and line[:1] in (b"", sign):
        return None, len(data)
    if line[:1] != sign or not line[1:].isdigit():
        raise ValueError(at)
    return int(line[1:]), line_end + 2
