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
from pathlib import Path

_MULTI = b"*1\r\n$5\r\nMULTI\r\n"
_EXEC = b"*1\r\n$4\r\nEXEC\r\n"

log = logging.getLogger("lokiredis.embedded")


def drop_open_call(folder: Path) -> int:
    """Cut the file of a server that is not running before the call that is not whole; returns by how many bytes.

    *folder* is the server's ``dir``. Nothing is done to a file that is not as Redis writes it: that is for somebody to
    look at.
    """
    path = _growing_file(folder)
    if path is None or path.stat().st_size == 0:
        return 0
    with path.open("r+b") as file:
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            size = len(data)
            end = _whole_until(data)
        if end < size:
            file.truncate(end)
            os.fsync(file.fileno())
            log.warning("%s: a call that nobody had an answer to was cut off: %d bytes", path, size - end)
    return size - end


def _growing_file(folder: Path) -> Path | None:
    """Redis 7 names its files in a manifest, of which the last one grows; 6.2 has one."""
    manifest = folder / "appendonlydir" / "appendonly.aof.manifest"
    try:
        # file NAME seq NUMBER type i
        words = [line.split() for line in manifest.read_text().splitlines() if line.endswith("type i")]
    except OSError:
        found = folder / "appendonly.aof"
    else:
        if not words:
            return None
        found = manifest.parent / max(words, key=lambda line: int(line[3]))[1]
    return found if found.is_file() else None


def _whole_until(data: mmap.mmap) -> int:
    """Where the last MULTI begins when no EXEC follows; else the end."""
    end = limit = len(data)
    while (start := data.rfind(_MULTI, 0, limit)) >= 0:
        try:
            is_open = _is_open(data, start, end)
        except ValueError:
            limit = start + len(_MULTI) - 1  # it stands in somebody's text
            continue
        if not is_open:
            break
        end = limit = start
    return end


def _is_open(data: mmap.mmap, start: int, end: int) -> bool:
    """Whether the transaction that begins at *start* has no end. Raises ValueError when no command begins there."""
    at, is_open = start, False
    while at < end:
        following = _after(data, at, end)
        if following is None:
            return is_open
        if following - at == len(_MULTI) and data[at:following] == _MULTI:
            is_open = True
        elif following - at == len(_EXEC) and data[at:following] == _EXEC:
            is_open = False
        at = following
    return is_open


def _after(data: mmap.mmap, at: int, end: int) -> int | None:
    """Where the command at *at* ends; None when it is cut off. Raises ValueError when none begins there."""
    if data[at : at + 1] == b"#":  # a remark, as aof-timestamp-enabled writes them
        found = data.find(b"\r\n", at, end)
        return None if found < 0 else found + 2
    count, at = _number(data, at, end, b"*")
    for _ in range(count or 0):
        length, at = _number(data, at, end, b"$")
        if length is None or at + length + 2 > end:
            return None
        at += length
        if data[at : at + 2] != b"\r\n":
            raise ValueError(at)
        at += 2
    return None if count is None else at


def _number(data: mmap.mmap, at: int, end: int, sign: bytes) -> tuple[int | None, int]:
    """The number of a line and where the next one begins; None when the line is cut off."""
    line_end = data.find(b"\r\n", at, min(end, at + 32))
    line = data[at : line_end if line_end >= 0 else end]
    if line_end < 0 and len(line) < 32 and line[:1] in (b"", sign):
        return None, end
    if line[:1] != sign or not line[1:].isdigit():
        raise ValueError(at)
    return int(line[1:]), line_end + 2
