"""lokiredis/append_only_file.py: where a file is cut, by files made by hand; test_data.py has the server."""

from __future__ import annotations

from pathlib import Path

import pytest

from lokiredis.append_only_file import drop_open_call
from lokiredis.errors import LokiRedisError


def _command(*words: str) -> bytes:
    return f"*{len(words)}\r\n".encode() + b"".join(f"${len(word)}\r\n{word}\r\n".encode() for word in words)


_MULTI, _EXEC, _SET = _command("MULTI"), _command("EXEC"), _command("SET", "key", "value")
_CALL = _MULTI + _SET + _SET + _EXEC
#: An error that an agent told may hold anything.
_TEXTS = (
    "*1\r\n$5\r\nMULTI\r\n",
    "*1\r\n$5\r\nMULTI\r\n#",
    "*1\r\n$5\r\nMULTI\r\n*1\r\n$999999999\r\nx",
    "*1\r\n$5\r\nMULTI\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv",
    "*1\r\n$5\r\nMULTI\r\n*1\r\n$4\r\nEXEC\r\nx",
    "*1\r\n$4\r\nEXEC\r\n",
)


def _cut(folder: Path, data: bytes, program: str) -> bytes:
    """What is left of the file; the rest is kept beside it."""
    path = folder / "appendonly.aof"
    path.write_bytes(data)
    dropped = drop_open_call(folder, program)
    left = path.read_bytes()
    assert len(left) + dropped == len(data)
    kept = [*folder.glob("*.cut-at-*")]
    assert left + b"".join(file.read_bytes() for file in kept) == data
    for file in kept:
        file.unlink()
    return left


@pytest.mark.parametrize("before", [b"", _SET, _CALL, _CALL + _SET], ids=["nothing", "write", "call", "both"])
def test_an_open_call_goes_wherever_it_is_cut(tmp_path: Path, program: str, before: bytes) -> None:
    for size in range(len(_MULTI), len(_CALL), 1 if before == _CALL else 7):
        assert _cut(tmp_path, before + _CALL[:size], program) == before, size


@pytest.mark.parametrize("end", [b"", _SET, _SET + _SET[:-3], _MULTI[:-1], _SET[:1], bytes(512), _MULTI + bytes(512)])
def test_what_else_ends_a_file_is_for_redis(tmp_path: Path, program: str, end: bytes) -> None:
    """It cuts off a command that is incomplete, outside a transaction, itself, and refuses what is damaged."""
    assert _cut(tmp_path, _CALL + end, program) == _CALL + end


@pytest.mark.parametrize("text", _TEXTS)
def test_a_text_that_looks_like_the_file_is_none(tmp_path: Path, program: str, text: str) -> None:
    for told in (_command("HSET", "errors", "id", text), _command("HSET", "errors", text, "id")):
        whole = _MULTI + told + _SET + _EXEC
        for data in (told, _SET + told, whole, whole + told, _CALL + told + _SET):
            assert _cut(tmp_path, data, program) == data
        for size in (len(_MULTI + told) - 2, len(_MULTI + told), len(whole) - 9):
            if not whole[:size].endswith(_EXEC):  # a cut just there is the price of not checking whole files
                assert _cut(tmp_path, _CALL + whole[:size], program) == _CALL, size


def test_a_transaction_that_a_client_ended_in_small_letters(tmp_path: Path, program: str) -> None:
    """Redis 6.2 writes the client's own word."""
    data = _command("multi") + _SET + _command("exec") + _SET
    assert _cut(tmp_path, data, program) == data


@pytest.mark.parametrize("more", ["", " ", " startoffset 0", " startoffset 0 endoffset 9"])
def test_the_file_that_grows_is_the_last_of_the_manifest(tmp_path: Path, redis7: str, more: str) -> None:
    folder = tmp_path / "appendonlydir"
    folder.mkdir()
    names = [f"appendonly.aof.{number}.incr.aof" for number in (9, 10)]
    (folder / "appendonly.aof.manifest").write_text(
        "# a remark\nfile appendonly.aof.9.base.rdb seq 9 type b\n"
        + "".join(f"file {name} seq {name.split('.')[2]} type i{more}\n" for name in names)
    )
    for name in names:
        (folder / name).write_bytes(_CALL + _MULTI + _SET)
    assert drop_open_call(tmp_path, redis7) == len(_MULTI + _SET)
    assert [(folder / name).read_bytes() for name in names] == [_CALL + _MULTI + _SET, _CALL]


def test_what_can_not_be_looked_at_is_left_to_redis(tmp_path: Path, redis7: str) -> None:
    """No file, an empty one, a manifest of another kind, no such program: the server says what is wrong."""
    assert drop_open_call(tmp_path, redis7) == 0
    path = tmp_path / "appendonly.aof"
    path.touch()
    assert drop_open_call(tmp_path, redis7) == 0
    path.write_bytes(_CALL + _MULTI)
    assert drop_open_call(tmp_path, "/bin/true") == 0
    assert drop_open_call(tmp_path, str(tmp_path / "nothing")) == 0
    (tmp_path / "appendonlydir").mkdir()
    for manifest in ("file only\n seq\n", "seq 1 type i\n", "file a seq one type i\n"):
        (tmp_path / "appendonlydir" / "appendonly.aof.manifest").write_text(manifest)
        assert drop_open_call(tmp_path, redis7) == 0
    assert path.read_bytes() == _CALL + _MULTI


def test_a_cut_that_is_killed_is_done_by_the_next_start(
    tmp_path: Path, redis7: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between what is kept and what is cut off: nothing is lost, and nothing of it stays."""
    path = tmp_path / "appendonly.aof"
    path.write_bytes(_CALL + _MULTI + _SET)

    def killed(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", killed)
    with pytest.raises(KeyboardInterrupt):
        drop_open_call(tmp_path, redis7)
    monkeypatch.undo()
    assert path.read_bytes() == _CALL + _MULTI + _SET
    assert drop_open_call(tmp_path, redis7) == len(_MULTI + _SET)
    assert path.read_bytes() == _CALL
    assert (tmp_path / f"appendonly.aof.cut-at-{len(_CALL)}").read_bytes() == _MULTI + _SET


def test_what_can_not_be_cut_is_no_start(tmp_path: Path, redis7: str) -> None:
    """With the call left open the server would lose what it is told."""
    path = tmp_path / "appendonly.aof"
    path.write_bytes(_CALL + _MULTI)
    (tmp_path / f"appendonly.aof.cut-at-{len(_CALL)}").mkdir()
    with pytest.raises(LokiRedisError, match="half a call"):
        drop_open_call(tmp_path, redis7)
    assert path.read_bytes() == _CALL + _MULTI
