"""The built wheel, installed where no source can be reached (the editable install hides what a wheel lacks)."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from lokiredis import __version__

ROOT = Path(__file__).parents[1]

_LIFE = """
import lokiredis, sys
from pathlib import Path
assert Path(sys.prefix) in Path(lokiredis.__file__).parents, lokiredis.__file__
with lokiredis.Queue.from_url() as queue:
    queue.load_scripts()
    made = queue.enqueue(type="a", payload={"n": 1}, id="x")
    claim = queue.claim("me", "a")
    queue.complete(claim, decision_report={"why": "asked"})
    print(queue.get("x").state)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from this checkout."""
    out = tmp_path_factory.mktemp("wheel")
    _run([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)], out)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The interpreter of a new environment with the wheel in it.

    Its dependencies are the ones that are installed here, by a .pth file: no network is needed, and since .pth files of
    a folder that is added so are not read, the editable lokiredis stays out of reach.
    """
    folder = tmp_path_factory.mktemp("env") / "venv"
    venv.create(folder, with_pip=False, symlinks=True)
    site = folder / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    found = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    (site / "dependencies.pth").write_text("\n".join(found) + "\n")
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check", "install", "-q"]
    _run([*pip, "--no-deps", "--no-index", "--force-reinstall", str(wheel)], folder)
    yield python
    _run([str(folder / "bin" / "lokiredis"), "server", "stop"], _home(folder), check=False)


def _home(folder: Path) -> Path:
    """A folder of its own, where a queue may be."""
    home = folder.parent / "home"
    home.mkdir(exist_ok=True)
    return home


def _run(command: list[str], cwd: Path, check: bool = True) -> str:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "LOKIREDIS", "PIP"))}
    ran = subprocess.run(command, cwd=cwd, env=clean, capture_output=True, text=True, timeout=120, check=False)
    assert not check or ran.returncode == 0, f"{' '.join(command)}\n{ran.stdout}\n{ran.stderr}"
    return ran.stdout


def test_what_is_in_it(wheel: Path) -> None:
    """All scripts and their pieces, the marker of typed packages, and the demo's plan; and no tests."""
    names = set(zipfile.ZipFile(wheel).namelist())
    sources = {f"lokiredis/lua/{path.relative_to(ROOT / 'lua')}" for path in (ROOT / "lua").rglob("*.lua")}
    assert len(sources) > 40
    assert sources <= names
    assert "lokiredis/py.typed" in names
    assert [name for name in names if name.startswith("lokiredis/demo/") and name.endswith(".json")]
    assert not [name for name in names if name.startswith(("tests/", "bench/"))]


def test_the_command(python: Path) -> None:
    """It is installed and tells its version."""
    assert __version__ in _run([str(python.parent / "lokiredis"), "--version"], _home(python.parents[1]))


def test_a_task_through_the_embedded_server(python: Path) -> None:
    """Enqueue, claim and complete work from the wheel, on a server that it started itself."""
    assert _run([str(python), "-c", _LIFE], _home(python.parents[1])).split() == ["completed"]


def test_the_command_line(python: Path) -> None:
    """Enqueue and claim by the command line too."""
    home, command = _home(python.parents[1]), str(python.parent / "lokiredis")
    assert '"created": true' in _run([command, "--json", "enqueue", "--type", "b", "--payload", '{"n": 2}'], home)
    assert '"n": 2' in _run([command, "--json", "claim", "--type", "b", "--agent", "me"], home)
