"""The work that an agent does: a real file made from a task's payload, and a real check of it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from html.parser import HTMLParser
from pathlib import Path, PurePosixPath
from typing import Any


@dataclass(frozen=True)
class Source:
    """A file that another task made and that this one builds on."""

    task: str
    path: str
    sha256: str


@dataclass(frozen=True)
class Brief:
    """What is to be made, for whom, and from what."""

    id: str
    type: str
    agent: str
    goal: str
    constraints: tuple[str, ...]
    path: str
    sources: tuple[Source, ...]


@dataclass(frozen=True)
class Made:
    """The file that was made. ``checked`` says how it was tested."""

    path: str
    bytes: int
    sha256: str
    checked: str


def path_of(id: str, payload: Mapping[str, Any]) -> str:
    """Where a task's file goes, below the run's folder. A target that is a folder gets a report: it is a review."""
    target = str(payload["target"])
    return f"reports/{id}.md" if target.endswith("/") else target


def digest(file: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def make(folder: Path, brief: Brief) -> Made:
    """Write the file and check it. Raises whatever the check finds wrong."""
    file = folder / brief.path
    file.parent.mkdir(parents=True, exist_ok=True)
    # Renamed when whole: an agent may be killed at any moment, and its successor writes the same file.
    part = file.with_name(f".{file.name}.{os.getpid()}")
    part.write_text(_composer(brief.path)(brief), encoding="utf-8")
    part.replace(file)
    checked = _check(folder, brief, file)
    return Made(brief.path, file.stat().st_size, digest(file), checked)


def _composer(path: str) -> Callable[[Brief], str]:
    kinds = {
        ".md": _markdown, ".py": _python, ".sql": _sql, ".yaml": _yaml,
        ".html": _html, ".js": _javascript, ".css": _css,
    }  # fmt: skip
    return kinds.get(PurePosixPath(path).suffix, _plain)


def _lines(brief: Brief, mark: str) -> str:
    """The brief as comment lines."""
    found = [f"{brief.goal}.", f"{brief.id}, {brief.type}, written by {brief.agent}"]
    found += [f"must: {constraint}" for constraint in brief.constraints]
    found += [f"builds on {source.path} ({source.task}, {source.sha256[:12]})" for source in brief.sources]
    return "".join(f"{mark} {line}\n" for line in found)


def _markdown(brief: Brief) -> str:
    must = "".join(f"- [x] {constraint}\n" for constraint in brief.constraints) or "Nothing beyond the goal.\n"
    rows = "".join(f"| {source.path} | {source.task} | `{source.sha256[:12]}` |\n" for source in brief.sources)
    table = f"| file | made by | sha256 |\n|---|---|---|\n{rows}" if rows else "Nothing: this comes first.\n"
    return (
        f"# {brief.goal}\n\nTask {brief.id} ({brief.type}), by {brief.agent}.\n\n"
        f"## Constraints\n\n{must}\n## Builds on\n\n{table}"
    )


def _python(brief: Brief) -> str:
    sources = {source.path: source.sha256[:12] for source in brief.sources}
    return (
        f'"""{brief.goal}."""\n\n{_lines(brief, "#")}\n'
        f"CONSTRAINTS = {list(brief.constraints)!r}\nBUILDS_ON = {sources!r}\n\n\n"
        f'def about() -> str:\n    """What this module is for."""\n    return {brief.goal!r}\n'
    )


def _sql(brief: Brief) -> str:
    if brief.path.endswith("seed.sql"):
        rows = ",\n".join(f"  ('Todo number {n}', {n % 3 == 0:d}, date('now', '+{n} days'))" for n in range(1, 21))
        return f"{_lines(brief, '--')}INSERT INTO todos (title, done, due) VALUES\n{rows};\n"
    return (
        f"{_lines(brief, '--')}"
        "CREATE TABLE todos (\n  id INTEGER PRIMARY KEY,\n  title TEXT NOT NULL,\n"
        "  done INTEGER NOT NULL DEFAULT 0,\n  due TEXT\n);\n"
        "CREATE INDEX open_todos ON todos (due) WHERE done = 0;\n"
        "-- back: DROP TABLE todos;\n"
    )


def _yaml(brief: Brief) -> str:
    # JSON strings are YAML too, whatever they hold.
    must = "".join(f"  - {json.dumps(constraint)}\n" for constraint in brief.constraints)
    body = f"goal: {json.dumps(brief.goal)}\nconstraints:{' []' if not must else ''}\n{must}"
    return f"{_lines(brief, '#')}{body}"


def _html(brief: Brief) -> str:
    items = "".join(f"    <li>{escape(constraint)}</li>\n" for constraint in brief.constraints)
    listed = f"  <ul>\n{items}  </ul>\n" if items else ""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n  <meta charset="utf-8">\n  <title>Todos</title>\n</head>\n<body>\n'
        f"  <h1>{escape(brief.goal)}</h1>\n{listed}  <p>{brief.id}, by {escape(brief.agent)}</p>\n</body>\n</html>\n"
    )


def _javascript(brief: Brief) -> str:
    return f"{_lines(brief, '//')}export const goal = {json.dumps(brief.goal)};\n"


def _css(brief: Brief) -> str:
    comment = _lines(brief, " *")
    return (
        f"/*\n{comment} */\n@media (prefers-color-scheme: dark) {{\n  body {{ background: #111; color: #eee; }}\n}}\n"
    )


def _plain(brief: Brief) -> str:
    return _lines(brief, "#")


def _check(folder: Path, brief: Brief, file: Path) -> str:
    text = file.read_text(encoding="utf-8")
    suffix = file.suffix
    if suffix == ".py":
        compile(text, str(file), "exec")
        return "it compiles"
    if suffix == ".sql":
        before = [folder / source.path for source in brief.sources if source.path.endswith(".sql")]
        return _run_sql([*before, file])
    if suffix == ".yaml":
        import yaml

        return f"it parses, with {len(yaml.safe_load(text))} keys"
    if suffix == ".html":
        return _balanced(text)
    return f"it has {len(text.splitlines())} lines and names its goal"


def _run_sql(files: Sequence[Path]) -> str:
    import sqlite3

    database = sqlite3.connect(":memory:")
    try:
        for file in files:
            database.executescript(file.read_text(encoding="utf-8"))
        (count,) = database.execute("SELECT count(*) FROM todos").fetchone()
    finally:
        database.close()
    return f"SQLite runs it; {count} todos are in the table"


def _balanced(text: str) -> str:
    class Tags(HTMLParser):
        depth = 0

        def handle_starttag(self, tag: str, attrs: object) -> None:
            self.depth += tag != "meta"

        def handle_endtag(self, tag: str) -> None:
            self.depth -= 1

    tags = Tags()
    tags.feed(text)
    tags.close()
    if tags.depth:
        raise ValueError(f"{tags.depth} tags are not closed")
    return "every tag is closed"
