"""Read the entries of a queue file one after the other: a file of any size is never in memory as a whole.

Python's own decoder finds the end of each entry in a window of the file. A library that streams (ijson 3.6) was looked
at: it tells no positions, so nothing could be read again in another order; it ends at the first NaN or wrong byte,
where here one entry is lost; and its decimals are other objects than those of every other reader here.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from json import JSONDecodeError, JSONDecoder
from typing import Any, BinaryIO, NoReturn

#: No task is larger, whatever the settings: a document of 8 MiB, and as much for its result and its checkpoint.
LONGEST_ENTRY = 32 * 1024 * 1024
_CHUNK, _LONGEST_CHUNK = 1024 * 1024, 8 * 1024 * 1024
_SPACE = " \t\n\r"
_BOM = "\xef\xbb\xbf"
_OUTSIDE, _INSIDE, _BARE_END = re.compile(r'["\[\]{}]'), re.compile(r'["\\]'), re.compile(r"[\s,\]}]")
#: A word that the window cuts off may be wrong for so many characters before its end.
_TORN = 16


class Broken(Exception):
    """The file can't be read on from the byte *offset*."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.offset = offset


@dataclass(frozen=True)
class Raw:
    """An entry as it stands in the file; ``data`` is None for one that is longer than any task."""

    index: int
    offset: int
    length: int
    data: bytes | None


class NotTaken(ValueError):
    """An entry that is no JSON object which a task could be."""


def decode(data: bytes) -> Any:
    """The value of an entry. Raises NotTaken for what JSON has no word for, although Python would read it."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as e:
        raise NotTaken(f"not valid UTF-8 at byte {e.start} of it") from None
    try:
        return json.loads(text, parse_constant=_no_constant, parse_float=_finite, parse_int=_exact)
    except RecursionError:
        raise NotTaken("nested too deeply") from None


def guess_id(data: bytes | None) -> str | None:
    """The id in an entry that can't be decoded; None when that can't be told either."""
    try:
        value = json.loads((data or b"").decode("utf-8", "replace"), parse_int=str)
    except (ValueError, RecursionError):
        return None
    if isinstance(value, dict) and "id" not in value:
        value = value.get("task")
    id = value.get("id") if isinstance(value, dict) else None
    return id if isinstance(id, str) else None


def _no_constant(name: str) -> NoReturn:
    raise NotTaken(f"{name} is not JSON")


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise NotTaken(f"the number {digits[:20]} is out of range")
    return value


def _exact(digits: str) -> int:
    try:
        return int(digits)
    except ValueError:
        # Python refuses to turn thousands of digits into an int, against a slow conversion.
        raise NotTaken("a number has too many digits") from None


def entries(file: BinaryIO) -> Iterator[Raw]:
    """The entries of ``{"tasks": [...]}``, of a bare list, or of JSON lines. Raises Broken, also at the end of them.

    A single object without a list of tasks is one entry, as the first of JSON lines is.
    """
    return _Window(file).entries()


class _Window:
    """The part of the file around the place that is read. Each byte is one character here, so places are offsets."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.decoder = JSONDecoder()
        self._start_at(0)

    def _start_at(self, offset: int) -> None:
        self.file.seek(offset)
        self.text, self.at, self.base, self.ended = "", 0, offset, False

    def entries(self) -> Iterator[Raw]:
        while len(self.text) < len(_BOM) and self._more():
            pass
        if self.text.startswith(_BOM):
            self.at = len(_BOM)
        first = self._next()
        if first == "[":
            self.at += 1
            yield from self._list()
        elif first == "{":
            begin = self.base + self.at
            if self._at_tasks():
                yield from self._list()
                self._members_behind()
            else:
                self._start_at(begin)
                yield from self._lines()
                return
        elif first:
            raise self._broken("neither a list nor an object")
        if self._next():
            raise self._broken("there is more behind the end")

    def _list(self) -> Iterator[Raw]:
        index = 0
        while self._next() != "]":
            if index:
                self._expect(",", f"a comma or the end of the list is missing behind entry {index - 1}")
            yield self._value(f"entry {index}", index)
            index += 1
        self.at += 1

    def _lines(self) -> Iterator[Raw]:
        index = 0
        while first := self._next():
            if first != "{":
                raise self._broken(f"entry {index} is no object")
            yield self._value(f"entry {index}", index)
            index += 1

    def _at_tasks(self) -> bool:
        """Go on to the first entry of the object's list of tasks. False: it is a task itself, or the like."""
        self.at += 1
        while self._next() != "}":
            name = self._name()
            if name == "tasks" and self._next() == "[":
                self.at += 1
                return True
            if name == "id":
                return False
            self._value("a member beside the tasks")
            if self._next() == ",":
                self.at += 1
        return False

    def _members_behind(self) -> None:
        while self._next() != "}":
            self._expect(",", "a comma or the end of the object is missing")
            if self._name() == "tasks":
                raise self._broken("tasks stands there twice")
            self._value("a member beside the tasks")
        self.at += 1

    def _name(self) -> str:
        if self._next() != '"':
            raise self._broken("a name in quotes is missing")
        name = self._value("a member beside the tasks").data or b""
        self._expect(":", "a colon is missing")
        return name.decode("utf-8", "replace")[1:-1]

    def _expect(self, sign: str, otherwise: str) -> None:
        if self._next() != sign:
            raise self._broken(otherwise)
        self.at += 1
        self._next()

    def _next(self) -> str:
        """The next character that is no space, "" at the end of the file."""
        while True:
            while self.at < len(self.text) and self.text[self.at] in _SPACE:
                self.at += 1
            if self.at < len(self.text):
                return self.text[self.at]
            if not self._more():
                return ""

    def _more(self) -> bool:
        """Let go of what was read, and read on; the window grows while one value needs it."""
        if self.ended:
            return False
        self.text = self.text[self.at :]
        self.base += self.at
        self.at = 0
        data = self.file.read(min(max(_CHUNK, len(self.text)), _LONGEST_CHUNK))
        self.ended = not data
        self.text += data.decode("latin-1")
        return bool(data)

    def _broken(self, message: str, at: int | None = None) -> Broken:
        at = self.at if at is None else at
        offset = self.base + at
        return Broken(
            f"not JSON: {message}" if at < len(self.text) or not self.ended else f"cut off: {message}", offset
        )

    def _value(self, what: str, index: int = 0) -> Raw:
        """The value that begins here."""
        if not self._next():
            raise self._broken(f"{what} is missing")
        try:
            _, end = self.decoder.raw_decode(self.text, self.at)
        except JSONDecodeError as e:
            if e.pos < len(self.text) - _TORN and not e.msg.startswith("Unterminated string"):
                raise self._broken(f"{e.msg[0].lower()}{e.msg[1:]}, in {what}", e.pos) from None
            return self._long_value(what, index)
        except (ValueError, RecursionError):
            # Too many digits, or too deep: the entry is lost, but its end can be found.
            return self._long_value(what, index)
        # A number may go on behind the window, which then ends in "1", "1." or "1e+".
        if end >= len(self.text) - 2 and not self.ended:
            return self._long_value(what, index)
        return self._taken(index, self.base + self.at, end)

    def _taken(self, index: int, offset: int, end: int) -> Raw:
        whole = self.base + self.at == offset and end - self.at <= LONGEST_ENTRY
        data = self.text[self.at : end].encode("latin-1") if whole else None
        self.at = end
        return Raw(index, offset, self.base + end - offset, data)

    def _long_value(self, what: str, index: int) -> Raw:
        """As _value, by counting brackets: for what is not in the window yet, or what the decoder can't hold."""
        offset = self.base + self.at
        end = self._end_of(what)
        found = self._taken(index, offset, end)
        if found.data is not None:
            try:
                self.decoder.decode(found.data.decode("latin-1"))
            except JSONDecodeError as e:
                message = f"not JSON: {e.msg[0].lower()}{e.msg[1:]}, in {what}"
                raise Broken(message, offset + e.pos) from None
            except (ValueError, RecursionError):
                pass  # decode() tells
        return found

    def _end_of(self, what: str) -> int:
        depth, quoted = 0, False
        at = self.at
        bare = self.text[at] not in '"[{'
        while True:
            found = (_BARE_END if bare else _INSIDE if quoted else _OUTSIDE).search(self.text, at)
            if found is None:
                at = max(at, len(self.text))
                if len(self.text) - self.at > LONGEST_ENTRY:
                    self.at = min(at, len(self.text))
                at -= self.at
                if not self._more():
                    if bare:
                        return len(self.text)
                    raise self._broken(f"the file ends within {what}", len(self.text))
                continue
            at = found.end()
            sign = found[0]
            if bare:
                return found.start()
            if sign == "\\":
                at += 1
            elif sign == '"':
                quoted = not quoted
            else:
                depth += 1 if sign in "[{" else -1
            if depth == 0 and not quoted:
                return at
