"""lokiredis/append_only_file.py: where a file is cut, by files made by hand; test_data.py has the server."""

from __future__ import annotations

from pathlib import Path

import pytest

from lokiredis.append_only_file import drop_open_call


def _command(*words: str) -> bytes:
    return f"*{len(words)}\r\n".encode() + b"".join(f"${len(word)}\r\n{word}\r\n".encode() for word in words)


_MULTI, _EXEC, _SET = _command("MULTI"), _command("EXEC"), _command("SET", "key", "value")
_CALL = _MULTI + _SET + _SET + _EXEC


def _cut(folder: Path, data: bytes) -> bytes:
    """What is left of the file."""
    path = folder / "appendonly.aof"
    path.write_bytes(data)
    dropped = drop_open_call(folder)
    left = path.read_bytes()
    assert len(left) + dropped == len(data)
    assert data.startswith(left)
    return left


@pytest.mark.parametrize(
    "before", [b"", _SET, _CALL, _CALL + _SET + b"#TS:1700000000\r\n", b"REDIS0009\xfa\x00" + _CALL]
)
def test_an_open_call_goes_wherever_it_is_cut(tmp_path: Path, before: bytes) -> None:
    for size in range(len(_MULTI), len(_CALL)):
        assert _cut(tmp_path, before + _CALL[:size]) == before, size


@pytest.mark.parametrize("end", [b"", _SET, _SET + _SET[:-3], _MULTI[:-1], _SET[:1]])
def test_what_else_ends_a_file_is_for_redis(tmp_path: Path, end: bytes) -> None:
    """It cuts off a command that is incomplete, outside a transaction, itself."""
    assert _cut(tmp_path, _CALL + end) == _CALL + end


@pytest.mark.parametrize("text", ["*1\r\n$5\r\nMULTI\r\n", "x*1\r\n$5\r\nMULTI\r\nx", "*1\r\n$4\r\nEXEC\r\n"])
def test_a_text_that_looks_like_the_file_is_none(tmp_path: Path, text: str) -> None:
    """An error that an agent told may hold anything."""
    told = _command("HSET", "errors", "id", text)
    whole = _MULTI + told + _SET + _EXEC
    assert _cut(tmp_path, whole) == whole
    assert _cut(tmp_path, told) == told
    for size in range(len(_MULTI), len(whole)):
        assert _cut(tmp_path, _CALL + whole[:size]) == _CALL, size


def test_the_file_that_grows_is_the_last_of_the_manifest(tmp_path: Path) -> None:
    folder = tmp_path / "appendonlydir"
    folder.mkdir()
    names = [f"appendonly.aof.{number}.incr.aof" for number in (9, 10)]
    (folder / "appendonly.aof.manifest").write_text(
        "file appendonly.aof.9.base.rdb seq 9 type b\n"
        + "".join(f"file {name} seq {name.split('.')[2]} type i\n" for name in names)
    )
    for name in names:
        (folder / name).write_bytes(_CALL + _MULTI + _SET)
    assert drop_open_call(tmp_path) == len(_MULTI + _SET)
    assert [(folder / name).read_bytes() for name in names] == [_CALL + _MULTI + _SET, _CALL]


def test_without_a_file_nothing_is_done(tmp_path: Path) -> None:
    assert drop_open_call(tmp_path) == 0
    (tmp_path / "appendonly.aof").touch()
    assert drop_open_call(tmp_path) == 0
