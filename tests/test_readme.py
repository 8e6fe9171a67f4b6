"""The README is true: its commands run and print what it shows, its Python runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(console|python)\n(.*?)^```$", README, re.M | re.S)
#: Times, tokens and folders differ from run to run.
VARYING = [(r"\d{4}-\d\d-\d\d[ T][\d:.]+Z", "<time>"), (r"\b\d{13}\b", "<token>"), (r"/\S*/\.loki", "<folder>/.loki")]


def same(text: str) -> list[str]:
    for pattern, word in VARYING:
        text = re.sub(pattern, word, text)
    return [line.rstrip() for line in text.strip().splitlines()]


def steps(block: str) -> list[tuple[str, str]]:
    parts = re.split(r"^\$ ", block, flags=re.M)[1:]
    return [(command, shown) for command, _, shown in (part.partition("\n") for part in parts)]


def shell(folder: Path, script: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("LOKIREDIS")}
    environment |= {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "COLUMNS": "120"}
    return subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
        check=False,
    )


@pytest.mark.faults
def test_the_tour_prints_what_the_readme_shows(tmp_path: Path) -> None:
    """Every command of the tour, in order in an empty folder, prints the lines that stand under it."""
    kept = tmp_path / "variables"
    kept.touch()
    try:
        for kind, block in BLOCKS:
            if kind == "python":
                (tmp_path / "tour.py").write_text(block)
                ran = shell(tmp_path, "python tour.py")
                assert (ran.returncode, ran.stdout) == (0, "")
                continue
            for command, shown in steps(block):
                ran = shell(
                    tmp_path, f"source {kept}\n{command}\ncode=$?\ndeclare -p TOKEN >{kept} 2>/dev/null\nexit $code"
                )
                assert same(ran.stdout) == same(shown), command
    finally:
        shell(tmp_path, "lokiredis server stop")


def test_the_two_commands_are_targets_of_make() -> None:
    """`make demo` and `make test` exist."""
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", README, re.M):
        assert re.search(rf"^{target}:", makefile, re.M), target


def test_every_link_leads_somewhere() -> None:
    """Each relative link names a file of the repository."""
    for link in re.findall(r"\]\((?!http)([^)#]+)", README):
        assert (ROOT / link).exists(), link
