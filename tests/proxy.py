"""A proxy in front of a Redis server that loses replies after the server acted, as a failing network does."""

from __future__ import annotations

import random
import re
import socket
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

# Answered before a client may ask anything, and without effect: losing them would only thin out the interesting losses.
_HANDSHAKE = frozenset({b"HELLO", b"AUTH", b"CLIENT", b"SELECT"})

# Answered once per channel and, in RESP3, outside the order of replies: remembered, they would shift every later reply
# to the wrong request.
_SUBSCRIBING = tuple(kind + b"SUBSCRIBE" for kind in (b"", b"P", b"S", b"UN", b"PUN", b"SUN"))

# A published message, as RESP2 and RESP3 write it.
_MESSAGE = re.compile(rb"[*>][34]\r\n\$\d+\r\n[ps]?message\r\n")

Address = tuple[str, int] | str


@dataclass(frozen=True)
class Exchange:
    """One request and its whole reply, ``number`` counting from 1 over all connections of the proxy."""

    number: int
    request: tuple[bytes, ...]
    reply: bytes

    @property
    def command(self) -> str:
        """The command's name in capitals."""
        return self.request[0].decode(errors="replace").upper()


class Frames:
    """Cuts a RESP stream (2 or 3) into whole values, however the network chopped it."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._scanned = 0  # where the next unread header begins
        self._missing = 1  # values that the current frame still lacks

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that ``data`` completes, each as it came."""
        self._buffer += data
        frames = []
        while self._scan():
            frames.append(bytes(self._buffer[: self._scanned]))
            del self._buffer[: self._scanned]
            self._scanned, self._missing = 0, 1
        return frames

    def _scan(self) -> bool:
        """Goes over as many values as are here; True at the end of a frame."""
        while self._missing:
            line_end = self._buffer.find(b"\r\n", self._scanned)
            if line_end < 0:
                return False
            kind, rest = self._buffer[self._scanned], bytes(self._buffer[self._scanned + 1 : line_end])
            end, inside = line_end + 2, 0
            if kind in b"$=!" and rest != b"-1":
                end += int(rest) + 2
            elif kind in b"*~>":
                inside = max(int(rest), 0)
            elif kind in b"%|":
                # An attribute (|) stands before its value and is none itself.
                inside = 2 * int(rest) + (kind == ord("|"))
            if len(self._buffer) < end:
                return False
            self._scanned = end
            self._missing += inside - 1
        return True


def words(frame: bytes) -> tuple[bytes, ...]:
    """The arguments of a request frame."""
    found, at = [], frame.index(b"\r\n") + 2
    while at < len(frame):
        begin = frame.index(b"\r\n", at) + 2
        length = int(frame[at + 1 : begin - 2])
        found.append(frame[begin : begin + length])
        at = begin + length + 2
    return tuple(found)


class LossyProxy:
    """Listens on a loopback port and forwards to ``target``, a ``(host, port)`` or the path of a unix socket.

    ``drop`` says which replies get lost: a share from 0 to 1 (drawn with ``seed``), or a function of the Exchange. A
    lost reply closes the client's connection once the server has answered in full, so the effect has happened.
    Handshakes (HELLO, AUTH, CLIENT, SELECT) and pub/sub always pass and are not counted. Set ``lossy`` to False to pass
    everything. Set ``deaf`` to True and published messages get lost, unnoticed, while subscriptions stand.
    """

    def __init__(self, target: Address, drop: Callable[[Exchange], bool] | float = 0.2, seed: int = 0) -> None:
        self.target = target
        self.lossy = True
        self.deaf = False
        self.messages_dropped = 0
        self.replies_passed = 0
        self.replies_dropped = 0
        self._drop = drop if callable(drop) else _by_chance(drop, seed)
        self._lock = threading.Lock()
        self._links: set[_Link] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self._listener.getsockname()
        self._thread = threading.Thread(target=self._accept, daemon=True, name="proxy")
        self._thread.start()

    def __enter__(self) -> LossyProxy:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def url(self) -> str:
        """What a client connects to."""
        return "redis://{}:{}".format(*self.address)

    @property
    def connections(self) -> int:
        """How many clients are connected now."""
        with self._lock:
            return len(self._links)

    def cut(self) -> None:
        """Closes every connection. New ones are welcome."""
        with self._lock:
            links = list(self._links)
        for link in links:
            link.close()

    def close(self) -> None:
        """Ends the proxy with all its connections and threads."""
        _shut(self._listener)
        self._thread.join(timeout=10)
        self.cut()

    def loses(self, asked: tuple[bytes, ...], reply: bytes) -> bool:
        """Decides one exchange and counts it."""
        if asked[0].upper() in _HANDSHAKE:
            return False
        # One at a time: with the same seed and order of requests, the same replies are lost.
        with self._lock:
            number = self.replies_passed + self.replies_dropped + 1
            lost = self.lossy and bool(self._drop(Exchange(number, asked, reply)))
            if lost:
                self.replies_dropped += 1
            else:
                self.replies_passed += 1
            return lost

    def swallows(self, reply: bytes) -> bool:
        """Decides on one frame of the server whether it is a message that gets lost."""
        if not self.deaf or not _MESSAGE.match(reply):
            return False
        with self._lock:
            self.messages_dropped += 1
        return True

    def forget(self, link: _Link) -> None:
        """Called by a connection that ended."""
        with self._lock:
            self._links.discard(link)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # closed
                return
            try:
                server = _connect(self.target)
            except OSError:  # the server is down: the client shall see just that
                _shut(client)
                continue
            link = _Link(self, client, server)
            with self._lock:
                self._links.add(link)
            link.start()


class _Link:
    """One client's connection, and the one to the server that belongs to it."""

    def __init__(self, proxy: LossyProxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._asked: deque[tuple[bytes, ...]] = deque()

    def start(self) -> None:
        for pump in (self._pump_requests, self._pump_replies):
            threading.Thread(target=self._run, args=(pump,), daemon=True, name=f"proxy {pump.__name__}").start()

    def close(self) -> None:
        _shut(self._client)
        _shut(self._server)
        self._proxy.forget(self)

    def _run(self, pump: Callable[[], None]) -> None:
        try:
            pump()
        except OSError:  # either side went away
            pass
        finally:
            self.close()

    def _pump_requests(self) -> None:
        frames = Frames()
        while data := self._client.recv(65536):
            # Remembered before it is sent: its reply may come back before the next line runs.
            requests = (words(frame) for frame in frames.feed(data))
            self._asked.extend(asked for asked in requests if asked and asked[0].upper() not in _SUBSCRIBING)
            self._server.sendall(data)

    def _pump_replies(self) -> None:
        frames = Frames()
        while data := self._server.recv(65536):
            for reply in frames.feed(data):
                # A push message (RESP3 pub/sub, invalidation) answers no request.
                is_push = reply.startswith(b">")
                if self._proxy.swallows(reply):
                    continue
                if not is_push and self._asked and self._proxy.loses(self._asked.popleft(), reply):
                    return
                self._client.sendall(reply)


def _by_chance(share: float, seed: int) -> Callable[[Exchange], bool]:
    chance = random.Random(seed)
    return lambda exchange: chance.random() < share


def _connect(target: Address) -> socket.socket:
    if isinstance(target, tuple):
        connection = socket.create_connection(target, timeout=10)
    else:
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(target)
    connection.settimeout(None)
    return connection


def _shut(end: socket.socket) -> None:
    """Closes a socket and wakes the thread that reads from it: close() alone would leave it waiting for ever."""
    try:
        end.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    end.close()
