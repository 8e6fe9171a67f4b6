"""Files that hold one line."""

from __future__ import annotations

import os
from pathlib import Path


def read_line(path: str | Path) -> str:
    """The text of a small file, stripped; "" when it isn't there or can't be read."""
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (FileNotFoundError, PermissionError, UnicodeDecodeError):
        return ""


def write_line(path: Path, text: str) -> None:
    """Replace the file at once: a full disk or a crash leaves the old one whole."""
    new = path.with_name(path.name + ".new")
    try:
        new.write_text(text + "\n", encoding="utf-8")
        os.replace(new, path)
    except OSError:
        new.unlink(missing_ok=True)
        raise
