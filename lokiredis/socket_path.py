"""Where the socket of an embedded server is: in the folder of its data, or by a shorter way when that is too deep."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from .errors import LokiRedisError

# sockaddr_un has 108 bytes, one of them the final NUL.
_SOCKET_BYTES = 107


def socket_path(data: Path) -> Path:
    """Where clients find ``redis.sock`` of the folder *data*. Raises LokiRedisError without any short enough way."""
    local = data / "redis.sock"
    return local if _fits(local) else _short_way(data) / "redis.sock"


def _fits(socket: Path) -> bool:
    name = os.fsencode(socket)
    try:
        name.decode()
    except UnicodeDecodeError:
        return False  # redis-py reads URLs as UTF-8
    return len(name) <= _SOCKET_BYTES


def _short_way(data: Path) -> Path:
    """A symlink to *data* with a short path, in a folder that only this user can write."""
    import hashlib
    import tempfile

    name = f"lokiredis-{os.geteuid()}-{hashlib.sha256(os.fsencode(data)).hexdigest()[:16]}"
    bases = [os.environ.get("XDG_RUNTIME_DIR") or "", tempfile.gettempdir(), "/tmp"]
    for base in bases:
        link = Path(base, name, "redis")
        if os.path.isabs(base) and _fits(link / "redis.sock") and _make_private(link.parent):
            try:
                link.symlink_to(data)
            except FileExistsError:
                pass  # by an earlier call: the name stands for the target
            return link
    tried = ", ".join(str(Path(base, name)) for base in bases if base)
    raise LokiRedisError(
        f"The path of {data} is too long for a socket, and no private folder for it could be made: {tried}. "
        "Set TMPDIR to a folder of your own with a short path."
    )


def _make_private(folder: Path) -> bool:
    """True when *folder* is ours alone, and nobody can put another one in its place."""
    try:
        parent = folder.parent.stat()
        if parent.st_uid not in (0, os.geteuid()) or (parent.st_mode & 0o022 and not parent.st_mode & stat.S_ISVTX):
            return False
        folder.mkdir(0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return False
    # Another user may have made it first, to have us talk to a server of theirs.
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077
