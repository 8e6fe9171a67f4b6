"""Which folder and which socket it is, and whose."""

from __future__ import annotations

import json
import os
import shutil
import stat
from pathlib import Path

import pytest

from lokiredis import machine
from lokiredis.embedded import EmbeddedServer, ensure, find_folder
from lokiredis.errors import LokiRedisError

from .processes import (
    Clients,
    kill,
    pid_of,
    put,
    read,
    server_pids,
)


class TestPlace:
    def test_nearest(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The nearest .loki folder upwards is found; a file of that name is none."""
        inner = tmp_path / "a" / "b"
        inner.mkdir(parents=True)
        (tmp_path / ".loki").mkdir()
        (inner / ".loki").write_text("")
        assert find_folder(inner) == tmp_path / ".loki"
        (tmp_path / "a" / ".loki").mkdir()
        monkeypatch.chdir(inner)
        assert find_folder() == tmp_path / "a" / ".loki"

    def test_none(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without a .loki folder the answer is one here, which isn't made."""
        monkeypatch.chdir(tmp_path)
        assert find_folder() == find_folder(tmp_path) == tmp_path / ".loki"
        assert list(tmp_path.iterdir()) == []

    def test_removed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """In a current folder that was removed the error says so."""
        gone = tmp_path / "gone"
        gone.mkdir()
        monkeypatch.chdir(gone)
        gone.rmdir()
        with pytest.raises(LokiRedisError, match="The current folder was removed"):
            ensure()

    def test_special_characters(self, tmp_path: Path) -> None:
        """A path with spaces, quotes, percent signs and other letters works, also as a URL."""
        server = EmbeddedServer(tmp_path / "a b%41#?'\"ü\n" / ".loki")
        put(server.start(), "k", "v")
        assert read(server.url) == {"k": "v"}

    @pytest.mark.parametrize("variable", ["XDG_RUNTIME_DIR", "TMPDIR"])
    def test_deep(
        self, tmp_path: Path, short: Path, monkeypatch: pytest.MonkeyPatch, variable: str, program: str
    ) -> None:
        """In a folder too deep for a socket's path it is reached through a private folder with a short one."""
        monkeypatch.setenv(variable, str(short))
        server = EmbeddedServer(tmp_path / ("d" * 120) / ".loki")
        put(server.start(), "k", "v")
        assert server.socket.is_relative_to(short)
        assert len(os.fsencode(server.socket)) <= 107
        assert json.loads((server.data / "owner.json").read_text())["url"] == server.url
        assert [stat.S_IMODE(path.lstat().st_mode) for path in short.iterdir()] == [0o700]
        kill(pid_of(server))
        assert read(server.start()) == {"k": "v"}
        server.stop()
        assert server_pids(tmp_path) == set()

    def test_deep_elsewhere(self, tmp_path: Path, short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Two processes with different temp folders share the one server of a deep folder."""
        server = EmbeddedServer(tmp_path / ("d" * 120) / ".loki")
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(short))
        put(server.start(), "k", "v")
        (short / "other").mkdir()
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(short / "other"))
        assert read(server.start()) == {"k": "v"}
        assert server.socket.is_relative_to(short / "other")

    def test_deep_trap(self, tmp_path: Path, short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A private folder that somebody else could have prepared isn't used."""
        (short / "runtime").mkdir(0o700)
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(short / "runtime"))
        server = EmbeddedServer(tmp_path / ("d" * 120) / ".loki")
        private = server.socket.parent.parent
        assert private.parent == short / "runtime"
        private.chmod(0o777)
        assert private not in server.socket.parents
        private.chmod(0o700)
        private.parent.chmod(0o777)
        assert private not in server.socket.parents

    def test_moved(self, tmp_path: Path) -> None:
        """A folder that is moved keeps its server and its data."""
        old, new = EmbeddedServer(tmp_path / "old" / ".loki"), EmbeddedServer(tmp_path / "new" / ".loki")
        put(old.start(), "k", "v")
        pid = pid_of(old)
        os.rename(tmp_path / "old", tmp_path / "new")
        assert read(new.start()) == {"k": "v"}
        assert pid_of(new) == pid
        new.stop()
        assert read(new.start()) == {"k": "v"}

    @pytest.mark.parametrize("name", ["copy", "d" * 120])
    def test_copied(self, tmp_path: Path, name: str) -> None:
        """A copy of a folder in use gets a server of its own and leaves the first one alone."""
        first = EmbeddedServer(tmp_path / "first" / ".loki")
        put(first.start(), "k", "v")
        copy = EmbeddedServer(tmp_path / name / ".loki")
        shutil.copytree(first.data, copy.data, ignore=shutil.ignore_patterns("redis.sock"))
        put(copy.start(), "k", "w")
        copy.stop()
        assert read(first.url) == {"k": "v"}

    def test_symlinked(self, tmp_path: Path) -> None:
        """A .loki that is a symlink to a folder is that folder, with the same server."""
        server = EmbeddedServer(tmp_path / ".loki")
        url = server.start()
        (tmp_path / "link").symlink_to(tmp_path / ".loki")
        assert ensure(tmp_path / "link") == url

    def test_file(self, folder: Path) -> None:
        """A file in place of the folder is named."""
        folder.write_text("")
        with pytest.raises(LokiRedisError, match=r"/\.loki is a file; the embedded server needs a folder there\.$"):
            ensure(folder)

    def test_dangling(self, folder: Path, tmp_path: Path) -> None:
        """A symlink to a missing folder is named, and its target isn't made."""
        folder.symlink_to(tmp_path / "unmounted")
        with pytest.raises(LokiRedisError, match=r"/\.loki is a symlink to nothing\.$"):
            ensure(folder)
        assert not (tmp_path / "unmounted").exists()

    def test_data_symlink(self, folder: Path, tmp_path: Path) -> None:
        """A symlink in place of the data folder is refused: a repository could carry one."""
        folder.mkdir()
        (folder / "redis").symlink_to(tmp_path)
        with pytest.raises(LokiRedisError, match=r"/\.loki/redis is a symlink; "):
            ensure(folder)

    @pytest.mark.parametrize("name", ["redis.pid", "redis.log", "owner.json", "alive.lock"])
    @pytest.mark.parametrize("kind", ["symlink", "pipe"])
    def test_odd_files(self, server: EmbeddedServer, tmp_path: Path, name: str, kind: str) -> None:
        """A link in place of a file of the server is not followed (a checkout may bring one), no pipe waited for."""
        victim = tmp_path / "victim"
        victim.write_text("mine")
        server.data.mkdir(parents=True)
        if kind == "symlink":
            (server.data / name).symlink_to(victim)
        else:
            os.mkfifo(server.data / name)
        with pytest.raises(LokiRedisError, match=f"{name} is no plain file"):
            server.start()
        assert victim.read_text() == "mine"

    def test_not_writable(self) -> None:
        """A folder that can't be made is named with the reason, in one line."""
        with pytest.raises(LokiRedisError, match=r"^The embedded server can't use /proc/\d+/\.loki: [^\n]+\.$"):
            ensure(Path("/proc/self/.loki"))

    def test_nothing_can_be_written(self, server: EmbeddedServer, folder: Path, client_process: Clients) -> None:
        """On a disk that takes no more bytes the error is one line and no server is left."""
        code = (
            "import resource; from lokiredis import embedded, errors\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
            "try: embedded.ensure(Path(sys.argv[1]))\n"
            "except errors.LokiRedisError as error: print(error)"
        )
        out, _ = client_process(code, folder).communicate(timeout=60)
        assert out == f"The embedded server can't use {server.data}: File too large.\n"
        assert server_pids(folder) == set()
        server.start()


class TestOwner:
    def own(self, server: EmbeddedServer, **changes: str) -> None:
        server.data.mkdir(parents=True)
        (server.data / "owner.json").write_text(json.dumps(vars(machine.this_machine()) | changes))

    def test_other_host(self, server: EmbeddedServer, folder: Path) -> None:
        """A folder that another host has is refused, by start and by stop, naming the host and the file to remove."""
        self.own(server, host="elsewhere", machine="m", boot="b")
        for refused in (server.start, server.stop):
            with pytest.raises(LokiRedisError, match=f"host elsewhere(.|\n)*remove {server.data}/owner.json$"):
                refused()
        assert server_pids(folder) == set()
        (server.data / "owner.json").unlink()
        server.start()

    def test_clone(self, server: EmbeddedServer) -> None:
        """Another machine of the same name is another host."""
        self.own(server, machine="m", boot="b")
        with pytest.raises(LokiRedisError, match="belongs to host"):
            server.start()

    def test_reboot(self, server: EmbeddedServer) -> None:
        """The same host after a reboot takes its folder over."""
        self.own(server, boot="before")
        server.start()
        assert machine.read_machine(server.data / "owner.json") == machine.this_machine()

    def test_container(self, server: EmbeddedServer) -> None:
        """A container takes over from one on the same kernel, where the lock has the last word."""
        self.own(server, host="0123456789ab", machine="")
        server.start()

    @pytest.mark.parametrize("text", ["", "{", "[]", '{"host": 1}'])
    def test_unreadable(self, server: EmbeddedServer, text: str) -> None:
        """An owner file without sense, as a crash may leave, is nobody's."""
        server.data.mkdir(parents=True)
        (server.data / "owner.json").write_text(text)
        server.start()
