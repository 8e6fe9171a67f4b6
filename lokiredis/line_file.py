"""Files that hold one line."""

from __future__ import annotations

import errno
import os
from pathlib import Path


def read_line(path: str | Path) -> str:
    """The text of a small file, stripped; "" when it isn't there or can't be read."""
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    # ProcessLookupError: what /proc says of a process that ends between the opening and the reading.
    except (FileNotFoundError, ProcessLookupError, PermissionError, UnicodeDecodeError):
        return ""


def refuse_odd(path: Path) -> None:
    """Raises OSError for what is there and no file.

    Replaced, a pipe or /dev/null would be gone for everybody; read, a pipe would be waited for.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "not a regular file", str(path))


def write_line(path: Path, text: str, *, sync: bool = False) -> None:
    """Replace the file at once: a full disk or a crash leaves the old one whole. *sync*: a power cut too."""
    refuse_odd(path)
    new = path.with_name(path.name + ".new")
    try:
        with new.open("w", encoding="utf-8") as file:
            file.write(text + "\n")
            if sync:
                file.flush()
                os.fsync(file.fileno())
        os.replace(new, path)
    except OSError:
        new.unlink(missing_ok=True)
        raise
