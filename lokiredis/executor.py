"""How a client sends commands and steps: on which text of a script, again when, and given up how."""

from __future__ import annotations

import builtins
import random
import time
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from redis.exceptions import MovedError, OutOfMemoryError, ResponseError

from . import arguments, steps
from .commands import Command
from .connect import (
    SyncRedis,
    blocking_twin,
    drop_idle,
    leave_server,
    node_of,
    short_twin,
    uses_tls,
)
from .errors import LokiRedisError
from .kept_connections import KeptConnections
from .keys import Keys
from .outages import FAILURES, is_demoted, retries, translate
from .scripts import Loaded, Script
from .server import Server, is_loaded_already, lacks_script, read_server, refuses_functions

T = TypeVar("T")

#: How long a call is repeated while Redis is away, in seconds, before QueueUnavailable.
RETRY_FOR = 20.0

#: After a refused connection, in seconds.
REFUSED_PAUSE = (0.2, 1.0)

#: How often a script is loaded for one call: somebody may flush them again between the loading and the call.
LOADS = 10

_NUMBERS = frozenset((int, float))


@dataclass
class Progress:
    """How far steps have come that may be given up."""

    #: The call that is under way, that was the last, or that will be sent again: nobody would know what it did.
    command: Command[Any] | None = None
    #: Waiting may be cut off, a call may not.
    waits: bool = False

    def at(self, step: steps.Step) -> None:
        """The next step begins."""
        self.waits = not isinstance(step, Command)
        if isinstance(step, Command):
            self.command = step
        else:
            self.command = step.unanswered if isinstance(step, steps.Sleep) else None


class Client:
    """What both clients share: the queue's keys, and which text of a script the server needs."""

    def __init__(self, name: str, retry_for: float) -> None:
        self.keys = Keys(name)
        self.name = self.keys.name
        self.retry_for = arguments.patience(retry_for)
        self.redis: Any = None
        #: Where it was made from; None for a client that was given.
        self.url: str | None = None
        self._server: Server | None = None

    def _translated(self, error: BaseException) -> LokiRedisError:
        """The error of our tree that says the same."""
        return translate(error, tls=uses_tls(self.redis))

    def _loaded(self, script: Script) -> Loaded:
        server = self._server or Server(None)
        return self._prepare(script).for_server(server.version, functions=server.functions)

    def _goes_without(self, error: ResponseError) -> bool:
        """Must this server get plain scripts from now on? Memory that is full refuses a library, but no script."""
        if self._server is None or not (refuses_functions(error) or isinstance(error, OutOfMemoryError)):
            return False
        self._server = replace(self._server, functions=False)
        return True

    def _prepare(self, script: Script) -> Script:
        """A place for tests to put their own clock."""
        return script

    def _argv(self, command: Command[Any]) -> builtins.list[Any]:
        # No numbers: hiredis ends the process when a signal such as Ctrl-C comes while it writes one as text.
        if _NUMBERS.isdisjoint(map(type, command.argv)):
            return [*command.keys, *command.argv]
        return [*command.keys, *(str(word) if type(word) in _NUMBERS else word for word in command.argv)]

    def _words(self, loaded: Loaded, command: Command[Any]) -> tuple[Any, ...]:
        """The call of a script as Redis gets it."""
        name = "FCALL" if loaded.is_library else "EVALSHA"
        return (name, loaded.name, str(len(command.keys)), *self._argv(command))


class Executor(Client):
    """Blocking calls."""

    def __init__(self, redis_client: SyncRedis, name: str, retry_for: float) -> None:
        super().__init__(name, retry_for)
        self.redis = redis_client
        self._blocking: SyncRedis | None = None
        self._kept: KeptConnections | None = None
        self._owned = False

    def run(self, command: Command[T]) -> T:
        """Send a command, again while Redis is away, and read its reply. Interrupted, it hands back what it claimed."""
        try:
            return self._answer(command)
        except Exception:
            raise
        except BaseException:
            self._give_up(command)
            raise

    def _answer(self, command: Command[T]) -> T:
        try:
            return command.parse(self._send(command))
        except FAILURES as e:
            if not translate.is_outage(e):
                raise self._translated(e) from None
        try:
            for attempt in retries(min(self.retry_for, command.patience)):
                with attempt:
                    return command.parse(self._send(command))
        except FAILURES as e:
            raise self._translated(e) from e
        raise AssertionError("tenacity ended without a result")

    def _send(self, command: Command[Any]) -> Any:
        try:
            return self._send_to(self.redis, command)
        except ResponseError as e:
            self._leave_replica(e)
            raise

    def _leave_replica(self, error: BaseException) -> None:
        """After a failover the server's name may mean another one: the next try shall ask it, on a new connection."""
        if not is_demoted(error):
            return
        if self._kept is not None:
            self._kept.drop()
        for client in filter(None, (self.redis, self._blocking)):
            leave_server(client)

    def _send_to(self, redis: SyncRedis, command: Command[Any]) -> Any:
        if self._server is None:
            self._server = read_server(redis)
        try:
            return self._call(redis, self._loaded(command.script), command)
        except ResponseError as e:
            if not lacks_script(e) and not (refuses_functions(e) and self._goes_without(e)):
                raise
        # The server may be another one now, after a failover to an older or newer version.
        self._server = read_server(redis).as_known_from(self._server)
        for _ in range(LOADS):
            try:
                return self._call(redis, self._load(redis, command.script), command)
            except ResponseError as e:
                if not lacks_script(e):
                    raise
                refused = e
        raise refused

    def _call(self, redis: SyncRedis, loaded: Loaded, command: Command[Any]) -> Any:
        words = self._words(loaded, command)
        if self._kept is not None and redis is self.redis:
            return self._kept.call(words)
        return redis.execute_command(*words)

    def _load(self, redis: SyncRedis, script: Script) -> Loaded:
        loaded = self._loaded(script)
        try:
            if loaded.is_library:
                redis.execute_command("FUNCTION LOAD", loaded.source, **node_of(redis, self.keys.prefix))
            else:
                redis.execute_command("SCRIPT LOAD", loaded.source, **node_of(redis, self.keys.prefix))
        except ResponseError as e:
            if loaded.is_library and self._goes_without(e):
                return self._load(redis, script)
            if not is_loaded_already(e):
                raise
        return loaded

    def _give_up(self, command: Command[Any] | None) -> None:
        """After Ctrl-C: hand back what *command* claimed, unknown to its caller, and tell what is left to tell.

        Whether it had come through or not, the same request has the same answer (design rule 9). One try, on a new
        connection: when that fails, the tasks come back with the end of their leases. A second Ctrl-C ends it.
        """
        self._drop_idle()
        if self._blocking is not None:
            drop_idle(self._blocking)
        if command is None or command.undo is None or self._server is None:
            return
        try:
            twin = short_twin(self.redis, command.keys[0])
            try:
                following: Command[Any] | None = command
                while following is not None:
                    found = following.parse(self._send_to(twin, following))
                    following = None if following.undo is None else following.undo(found)
            finally:
                twin.connection_pool.disconnect()
        except (*FAILURES, LokiRedisError):
            pass

    def _drop_idle(self) -> None:
        """Close the connections that no thread uses, those for waiting apart."""
        if self._kept is not None:
            self._kept.drop()
        drop_idle(self.redis)

    def _drive(self, todo: steps.Steps[T]) -> T:
        progress = Progress()
        try:
            return self._carry_out(todo, progress)
        except Exception:
            raise
        except BaseException:
            self._give_up(progress.command)
            raise

    def _carry_out(self, todo: steps.Steps[T], progress: Progress) -> T:
        answer: Any = None
        raised: LokiRedisError | None = None
        try:
            while True:
                step = todo.throw(raised) if raised else todo.send(answer)
                answer, raised = None, None
                progress.at(step)
                if isinstance(step, Command):
                    try:
                        answer = self._answer(step)
                    except LokiRedisError as e:
                        raised = e
                elif isinstance(step, steps.Sleep):
                    time.sleep(step.seconds)
                else:
                    self._block(step)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]

    def _block(self, step: steps.Block) -> None:
        if self._blocking is None:
            self._blocking = blocking_twin(self.redis, steps.LONGEST_BLOCK, step.marks[0])
        try:
            self._blocking.bzpopmin(list(step.marks), timeout=str(step.seconds))
        except MovedError:
            self._blocking = None  # the queue is on another node of the cluster now
        except FAILURES as e:
            if not translate.is_outage(e):
                raise self._translated(e) from None
            self._leave_replica(e)
            # The next claim meets the same outage, or none when only this connection is refused: then it must not spin.
            time.sleep(min(step.seconds, random.uniform(*REFUSED_PAUSE)))
