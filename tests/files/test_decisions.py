"""Markdown under logs/decisions: each entry once, whole, and nothing in it runs."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import pytest

from lokiredis.files import decisions, markdown
from lokiredis.files.decisions import Entry
from lokiredis.files.folder import FileRefused, Folder


def _append(path: Path, *entries: Entry) -> int:
    with Folder.open(path) as root:
        return decisions.append(root, "review.md", "Review", entries)


def _read(path: Path) -> str:
    return (path / "logs" / "decisions" / "review.md").read_text()


def test_once(tmp_path: Path) -> None:
    """What is there already is not written again; what is new follows it."""
    assert _append(tmp_path, Entry("a:1", "One.")) == 1
    assert _append(tmp_path, Entry("a:1", "Other."), Entry("b:2", "Two.")) == 1
    assert _read(tmp_path) == ("# Review\n\nOne.\n\n<!-- lokiredis a:1 -->\n\nTwo.\n\n<!-- lokiredis b:2 -->\n")


def _append_all(path: Path) -> None:
    for number in range(20):
        _append(path, Entry(f"k:{number}", f"Decision {number}."))


def test_once_by_many_processes(tmp_path: Path) -> None:
    """Three processes with the same entries write each of them once."""
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_append_all, args=(tmp_path,)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    text = _read(tmp_path)
    assert [text.count(f"<!-- lokiredis k:{number} -->") for number in range(20)] == [1] * 20
    assert text.count("# Review") == 1


def test_a_cut_off_entry_is_written_again(tmp_path: Path) -> None:
    """Text without its mark is what a power cut left: the entry is not taken for written."""
    _append(tmp_path, Entry("a", "One."))
    file = tmp_path / "logs" / "decisions" / "review.md"
    file.write_text("# Review\n\nOn")
    assert _append(tmp_path, Entry("a", "One.")) == 1
    assert _read(tmp_path).endswith("One.\n\n<!-- lokiredis a -->\n")


@pytest.mark.parametrize("link", ["logs", "logs/decisions", "logs/decisions/review.md", "state", "state/locks"])
def test_links_are_not_followed(tmp_path: Path, link: str) -> None:
    """Neither a folder nor the file itself may be a link that leads elsewhere; nothing is written there."""
    outside, root = tmp_path / "outside", tmp_path / "root"
    outside.mkdir()
    place = root / link
    place.parent.mkdir(parents=True)
    place.symlink_to(outside / "file" if link.endswith(".md") else outside)
    with pytest.raises((FileRefused, OSError), match="symbolic link"):
        _append(root, Entry("a", "One."))
    assert list(outside.iterdir()) == []


def test_a_full_disk_leaves_no_half_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that fails in the middle is taken back."""
    _append(tmp_path, Entry("a", "One."))
    before, write = _read(tmp_path), os.write

    def half(descriptor: int, data: bytes) -> int:
        if len(data) < 8:
            raise OSError(28, "No space left on device")
        return write(descriptor, data[: len(data) // 2])

    monkeypatch.setattr(os, "write", half)
    with pytest.raises(OSError, match=r"No space left.*review\.md"):
        _append(tmp_path, Entry("b", "Two."))
    assert _read(tmp_path) == before


def test_markdown_shows_and_does_not_run() -> None:
    """HTML, Markdown's own signs, and control characters are text."""
    assert markdown.line("<script>&\x1b[2J\u202e") == "&lt;script&gt;&amp;\\\\x1b\\[2J\\\\u202e"
    assert markdown.line("# a\n- b") == "\\# a \\- b"
    assert markdown.paragraph("1. a\n    code\n\n- `b`") == (
        "1\\. a  \n&nbsp;&nbsp;&nbsp;&nbsp;code  \n&nbsp;  \n\\- \\`b\\`"
    )
    assert markdown.block({"a_b": ["x", {"y": 1, "z": None}], "e": []}) == (
        "- **a\\_b**:\n  - x\n  -\n    - **y**: 1\n    - **z**: null\n- **e**: \\[\\]"
    )
