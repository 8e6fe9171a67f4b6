"""Environments of peers: made once, whole or not at all, and a peer that can't have one is named with the reason."""

from __future__ import annotations

import ast
import json
from importlib import import_module
from pathlib import Path

import pytest

from .conftest import BENCH


@pytest.fixture
def environments(bench: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the environments are made; no index of packages is asked."""
    monkeypatch.setattr(import_module("peers.install"), "ENVIRONMENTS", tmp_path)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    return tmp_path


def test_a_peer_that_cannot_be_installed_is_named_and_the_others_go_on(
    environments: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reasons of one line each, for a package that there is not and for a name; the third peer is there."""
    from peers import Installed, install
    from peers.install import is_installed

    monkeypatch.setattr(
        import_module("peers.install"), "PYTHON", {"none": ("lokiredis-none>=99",), "there": ("there",)}
    )
    record = {"wanted": ["there"], "version": "1.2.3", "runtime": "Python 3.11.7"}
    (environments / "there").mkdir()
    (environments / "there" / "peer.json").write_text(json.dumps(record))
    found = install(["none", "unheard", "there"])
    assert isinstance(found["none"], str)
    assert "lokiredis-none" in found["none"]
    assert "\n" not in found["none"]
    assert found["unheard"] == "no such peer; there are bullmq_node, none, there"
    assert found["there"] == Installed("there", "1.2.3", "Python 3.11.7")
    assert not is_installed(environments / "none")


def test_without_node_its_peer_is_named(environments: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason names the program that is missing."""
    from peers import install

    monkeypatch.setenv("PATH", str(environments))
    assert install(["bullmq_node"]) == {"bullmq_node": "no node on the PATH"}


@pytest.mark.parametrize("record", ["", "{}", '{"wanted": ["there<1"], "version": "0.9", "runtime": "Python 3.11.7"}'])
def test_an_environment_that_is_not_whole_or_for_another_version_is_made_again(
    environments: Path, monkeypatch: pytest.MonkeyPatch, record: str
) -> None:
    """What is left of it is removed first."""
    from peers import install

    monkeypatch.setenv("PATH", str(environments))
    (environments / "bullmq_node").mkdir()
    (environments / "bullmq_node" / "peer.json").write_text(record)
    (environments / "bullmq_node" / "left over").touch()
    install(["bullmq_node"])
    assert list((environments / "bullmq_node").iterdir()) == []


def test_every_peer_can_be_installed_and_driven_and_is_described(bench: None) -> None:
    """One key in all places: what is installed, the driver, the peer, its line in the README."""
    from peers import PEERS
    from peers.install import NODE, PYTHON

    assert [peer.key for peer in PEERS] == [*NODE, *PYTHON]
    text = (BENCH / "peers" / "README.md").read_text()
    for peer in PEERS:
        suffix = "mjs" if peer.key in NODE else "py"
        assert peer.language == ("Node" if peer.key in NODE else "Python")
        assert (peer.drivers / f"{peer.key}_driver.{suffix}").exists()
        assert f"| {peer.name} |" in text


@pytest.mark.parametrize(("load", "method"), [("batch1000", "put_batch"), ("layers", "layers"), ("fan", "fan")])
def test_what_a_peer_can_is_what_its_driver_does(bench: None, load: str, method: str) -> None:
    """``can`` claims no load that the driver lacks, and hides none that it has."""
    from peers import PEERS

    for peer in PEERS:
        if peer.language == "Python":
            tree = ast.parse((peer.drivers / f"{peer.key}_driver.py").read_text())
            names = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
            assert (load in peer.can) == (method in names), f"{peer.name}: {load}"
