"""``lokiredis events``: shown, followed, and handled by a command or a webhook, each event at least once."""

from __future__ import annotations

import http.server
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from lokiredis import Failed, Queue
from lokiredis.cli.following import Place
from lokiredis.event_kinds import ALERTS, KINDS

from ..conftest import lacking
from ..lua.moves import add, add_many, bury, take
from ..servers import RedisServer, programs
from ..waiting import wait_until
from .conftest import Cli, Program
from .test_process import wait_until_blocked

HOSTILE = (
    "$(touch /tmp/lokiredis-owned) `id`; \"quoted\" 'single' \\ %s \x1b[31mred\nsecond line --exec x \u2028\u202e&& ä"
)
#: As it is stored: lua/lib/event.lua puts a space for each control.
STORED = HOSTILE.replace("\x1b", " ").replace("\n", " ")


@pytest.fixture
def queue(server7: RedisServer, queue_name: str) -> Iterator[Queue]:
    """The queue that the command line works on."""
    with Queue.from_url(server7.url, queue_name) as made:
        yield made


@contextmanager
def running(program: Program, *words: object) -> Iterator[None]:
    """A command line that runs while the block does."""
    process = program.start(*words)
    try:
        yield
    finally:
        process.kill()
        process.communicate()


def bury_with(queue: Queue, id: str, text: str) -> None:
    """A dead letter with this last error."""
    add(queue, id)
    queue.fail(take(queue), text, retry=False)


def test_the_events_as_people_and_as_programs_see_them(cli: Cli, queue: Queue) -> None:
    """A line each, controls escaped; or one document with the cursor to go on from."""
    bury_with(queue, "x", HOSTILE)
    data = cli.json("events")
    assert [event["kind"] for event in data["events"]] == ["enqueued", "claimed", "failed", "dead"]
    dead = data["events"][-1]
    assert dead.keys() == {"cursor", "at", "kind", "id", "type", "agent", "token", "text"}
    assert (dead["id"], dead["type"], dead["text"]) == ("x", "a", STORED)
    assert data["cursor"] == dead["cursor"]
    ran = cli("events")
    lines = ran.out.split("\n")
    assert len(lines) == 4 + 1
    when = datetime.fromisoformat(dead["at"][:-1]).strftime("%Y-%m-%d %H:%M:%SZ")
    shown = STORED.replace("\u2028\u202e", "\\u2028\\u202e")
    assert lines[3] == f"{when}  dead               x  a  host-1/agent-1  {shown}"
    assert lines[0].endswith("Z  enqueued           x  a  -  -")
    assert f"--since {data['cursor']}" in ran.err


def test_every_filter(cli: Cli, queue: Queue) -> None:
    """Of each kind, type and id what fits, and of alerts all."""
    bury(queue, "x")
    bury(queue, "y", "b")
    queue.escalate_dead("x", "help")

    def kinds(*words: str) -> list[tuple[str, str]]:
        return [(event["kind"], event["id"]) for event in cli.json("events", *words)["events"]]

    assert kinds("--alerts") == [("dead", "x"), ("dead", "y"), ("escalated", "x")]
    assert kinds("--kind", "enqueued", "--kind", "claimed", "--id", "y") == [("enqueued", "y"), ("claimed", "y")]
    assert kinds("--type", "b", "--alerts") == [("dead", "y")]
    assert kinds("--id", "nobody") == []
    # Nothing is looked at twice: the cursor is behind all of them, wanted or not.
    assert cli.json("events", "--kind", "enqueued")["cursor"] == cli.json("events")["cursor"]
    assert "0 events" in cli("events", "--id", "nobody").out


def test_pages(cli: Cli, queue: Queue) -> None:
    """The newest without --since; with it the next ones, so that every event is on one page."""
    assert cli.json("events") == {"events": [], "cursor": "0-0.0"}
    add_many(queue, 250)
    ids = [f"x{n}" for n in range(250)]
    assert [event["id"] for event in cli.json("events")["events"]] == ids[150:]
    assert [event["id"] for event in cli.json("events", "--limit", "3")["events"]] == ids[-3:]
    seen: list[str] = []
    cursor = "0-0.0"
    while True:
        page = cli.json("events", "--since", cursor, "--limit", "70", "--type", "a")
        seen += [event["id"] for event in page["events"]]
        if cursor == page["cursor"]:
            break
        cursor = page["cursor"]
    assert seen == ids
    assert cli.json("events", "--since", cursor)["events"] == []


def test_since_a_time_and_so_long_ago(cli: Cli, queue: Queue) -> None:
    """By the clock of the server."""
    add(queue, "x")
    [event] = cli.json("events")["events"]
    for since, count in (
        ("1h", 1),
        ("90", 1),
        ("99999999d", 1),
        ("2001-01-01", 1),
        (event["at"], 1),
        ("2101-01-01T00:00:00Z", 0),
    ):
        assert len(cli.json("events", "--since", since)["events"]) == count, since
    wait_until(lambda: not cli.json("events", "--since", "1ms")["events"])


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--since", "yesterday"], "--since"),
        (["--since", "1-1"], "--since"),
        (["--kind", "birthday"], "--kind"),
        (["--kind", "dead", "--alerts"], "--kind"),
        (["--limit", "0"], "--limit"),
        (["--type", "a b"], "--type"),
        (["--exec", ""], "--exec"),
        (["--exec", "'open"], "--exec"),
        (["--exec", "no-such-command"], "--exec: there is no command no-such-command here"),
        (["--exec", "/etc/passwd"], "--exec: /etc/passwd is not executable"),
        (["--exec", "x", "--webhook", "http://127.0.0.1/"], "--webhook"),
        (["--exec-timeout", "5"], "--exec-timeout"),
        (["--exec", "x", "--exec-timeout", "0"], "--exec-timeout"),
        (["--exec", "x", "--exec-timeout", "2d"], "--exec-timeout"),
        (["--webhook", "file:///etc/passwd"], "--webhook"),
        (["--webhook", "ftp://x/y"], "--webhook"),
        (["--webhook", "http://"], "--webhook"),
        (["--webhook", "http://x:99999/"], "--webhook"),
        (["--webhook", "http://user:secret@x/"], "--webhook"),
        (["--webhook", "http://x/\ny"], "--webhook"),
        (["--webhook", "http://x/ä"], "--webhook"),
    ],
)
def test_what_is_refused(words: list[str], named: str, bare: Cli) -> None:
    """As a usage error that names the option, before any server is asked; a URL's password is not repeated."""
    ran = bare("events", *words, code=2)
    assert named in ran.err
    assert "secret" not in ran.err.splitlines()[-1]


def test_a_cursor_file_with_something_else_in_it_is_refused(bare: Cli, tmp_path: Path) -> None:
    """It is somebody's file, which must not be overwritten."""
    (tmp_path / "c").write_text("precious")
    assert "--cursor-file" in bare("events", "--cursor-file", "c", code=2).err
    assert (tmp_path / "c").read_text() == "precious"


def test_a_cursor_file_that_is_no_file_is_refused(bare: Cli, tmp_path: Path) -> None:
    """A pipe would be waited for, and /dev/null replaced by a file."""
    os.mkfifo(tmp_path / "c")
    for words in (("--cursor-file", "c"), ("--cursor-file", "c", "--follow"), ("--cursor-file", "/dev/full")):
        assert "--cursor-file" in bare("events", *words, code=2).err
    assert (tmp_path / "c").is_fifo()
    with pytest.raises(OSError, match="not a regular file"):
        Place(tmp_path / "c").keep("5-0.1")
    assert (tmp_path / "c").is_fifo()


def test_a_limit_may_be_any_number(cli: Cli, queue: Queue) -> None:
    """Also one that no list can be as long as."""
    add_many(queue, 2)
    assert len(cli.json("events", "--limit", 10**30)["events"]) == 2


def test_a_run_goes_on_where_the_last_one_ended(cli: Cli, queue: Queue, tmp_path: Path) -> None:
    """For a job that looks every hour: --cursor-file without --follow."""
    words = ("events", "--cursor-file", "c", "--limit", "100")
    add_many(queue, 3)
    assert [event["id"] for event in cli.json(*words)["events"]] == ["x0", "x1", "x2"]
    assert cli.json(*words, "--since", "1h")["events"] == []
    add_many(queue, 150, prefix="y")
    assert [event["id"] for event in cli.json(*words)["events"]] == [f"y{n}" for n in range(100)]
    assert [event["id"] for event in cli.json(*words)["events"]] == [f"y{n}" for n in range(100, 150)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c"]


def test_a_full_disk_leaves_the_cursor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a crash in the middle of the write too: the file is replaced, never written over."""
    place = Place(tmp_path / "c")
    place.keep("5-0.1")
    calls: list[str] = []

    def noted(name: str, real: Callable[..., None]) -> Callable[..., None]:
        def call(*words: Any) -> None:
            calls.append(name)
            real(*words)

        return call

    monkeypatch.setattr(os, "fsync", noted("fsync", os.fsync))
    monkeypatch.setattr(os, "replace", noted("replace", os.replace))
    place.keep("6-0.1")
    assert calls == ["fsync", "replace"]

    def full(number: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        place.keep("7-0.1")
    assert place.read() == "6-0.1"
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


def test_a_cursor_file_that_cannot_be_written_is_told_at_once(program: Program) -> None:
    """Not with the first alert."""
    ran = program("events", "--follow", "--cursor-file", "no/such/folder/c")
    assert ran.code == 1
    assert "no/such/folder/c" in ran.err


def test_following_writes_a_line_for_each_event_at_once(program: Program, queue: Queue, server7: RedisServer) -> None:
    """Only new ones, each as soon as it happens, as JSON or for people."""
    add(queue, "before")
    people, programs = program.start("events", "--follow"), program.start("events", "--follow", "--json")
    wait_until_blocked(server7, 2)
    assert people.stdout is not None
    assert programs.stdout is not None
    for id in ("x", "y"):
        add(queue, id)
        event = json.loads(programs.stdout.readline())
        assert (event["kind"], event["id"]) == ("enqueued", id)
        assert f"  enqueued           {id}  a  -  -\n" in people.stdout.readline().decode()


def test_an_outage_is_told_once(program: Program, queue_name: str) -> None:
    """And its end: nobody could tell it from a queue in which nothing happens. Then it goes on."""
    with RedisServer(
        programs().get("redis7") or lacking("redis7: no such server"), appendonly=True, appendfsync="always"
    ) as mortal:
        following = program.start("--url", mortal.url, "--queue", queue_name, "events", "--follow", "--json")
        wait_until_blocked(mortal)
        assert following.stderr is not None
        assert following.stdout is not None
        mortal.kill()
        assert b"Redis cannot be reached" in following.stderr.readline()
        mortal.restart()
        assert following.stderr.readline().endswith(b"Redis is back\n")
        with Queue.from_url(mortal.url, queue_name) as queue:
            add(queue, "x")
        assert json.loads(following.stdout.readline())["id"] == "x"
        following.terminate()
        _, rest = following.communicate(timeout=30)
        assert rest == b""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -15), (signal.SIGHUP, -1)])
def test_a_signal_ends_it(number: signal.Signals, code: int, program: Program, server7: RedisServer) -> None:
    """At once, without a traceback; Ctrl-C with 130, the others as they end any program."""
    following = program.start("events", "--follow", "--cursor-file", "c")
    wait_until_blocked(server7)
    following.send_signal(number)
    out, err = following.communicate(timeout=30)
    assert (following.returncode, out) == (code, b"")
    assert b"Traceback" not in err


def test_a_limit_ends_following(program: Program, queue: Queue, server7: RedisServer) -> None:
    """So a script waits for one thing to happen."""
    following = program.start("events", "--follow", "--json", "--limit", "1", "--kind", "claimed")
    wait_until_blocked(server7)
    add(queue, "x")
    take(queue)
    out, _ = following.communicate(timeout=30)
    assert following.returncode == 0
    assert json.loads(out)["kind"] == "claimed"


@pytest.fixture
def recorder(tmp_path: Path) -> Callable[..., str]:
    """Makes a real command that writes down what it got, a line of JSON each, and then runs more Python."""

    def make(more: str = "") -> str:
        script = tmp_path / "record it.py"
        script.write_text(
            f"#!{sys.executable}\n"
            "import json, os, sys\n"
            "got = {'argv': sys.argv[1:], 'stdin': sys.stdin.read(), 'group': os.getpgid(0) == os.getpid(),\n"
            "       'env': {k: v for k, v in os.environ.items() if k.startswith('LOKIREDIS_EVENT_')}}\n"
            f"with open({str(tmp_path / 'got')!r}, 'a') as file:\n"
            "    file.write(json.dumps(got) + '\\n')\n"
            "event = json.loads(got['stdin'])\n"
            f"{more}\n"
        )
        script.chmod(0o755)
        return f"'{script}' --to 'the team' $(HOME)"

    return make


def got(folder: Path) -> list[Any]:
    """What the recorder wrote down."""
    path = folder / "got"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def got_ids(folder: Path) -> list[str]:
    """The same, ids only."""
    return [json.loads(one["stdin"])["id"] for one in got(folder)]


def test_alerts_run_a_command(
    program: Program, queue: Queue, server7: RedisServer, tmp_path: Path, recorder: Callable[..., str]
) -> None:
    """Whatever an agent wrote reaches it as data, on standard input and in the environment, and never as a word."""
    command = recorder("print('said by the command')")
    following = program.start("events", "--alerts", "--exec", command, "--limit", "1", "--json")
    wait_until_blocked(server7)
    bury_with(queue, "x", HOSTILE)
    out, err = following.communicate(timeout=30)
    assert following.returncode == 0
    [one] = got(tmp_path)
    assert one["argv"] == ["--to", "the team", "$(HOME)"]
    assert one["group"] is True
    assert json.loads(one["stdin"]) == json.loads(out)
    assert json.loads(one["stdin"])["text"] == STORED
    assert one["env"] == {
        "LOKIREDIS_EVENT_KIND": "dead",
        "LOKIREDIS_EVENT_ID": "x",
        "LOKIREDIS_EVENT_TYPE": "a",
        "LOKIREDIS_EVENT_AGENT": "host-1/agent-1",
        "LOKIREDIS_EVENT_TEXT": STORED,
    }
    assert b"said by the command" in err
    assert not (tmp_path / "owned").exists()


def test_a_command_that_fails_is_told_and_following_goes_on(
    program: Program, queue: Queue, server7: RedisServer, tmp_path: Path, recorder: Callable[..., str]
) -> None:
    """One line each: an exit code, a signal; the next alert is handled."""
    command = recorder(
        "if event['id'] == 'x': sys.exit(3)\n"
        "if event['id'] == 'y': os.kill(os.getpid(), 9)"
    )  # fmt: skip
    following = program.start("events", "--alerts", "--exec", command, "--limit", "3")
    wait_until_blocked(server7)
    for id in ("x", "y", "z"):
        bury(queue, id)
    _, err = following.communicate(timeout=30)
    assert following.returncode == 0
    lines = err.decode().splitlines()
    assert len(lines) == 2
    assert lines[0].endswith("ended with exit code 3 (dead x)")
    assert lines[1].endswith("was ended by signal 9 (dead y)")
    assert got_ids(tmp_path) == ["x", "y", "z"]


def test_a_command_that_goes_away_is_told(program: Program, queue: Queue, server7: RedisServer, tmp_path: Path) -> None:
    """And following goes on."""
    gone = tmp_path / "gone"
    gone.touch(0o755)
    following = program.start("events", "--alerts", "--exec", str(gone), "--limit", "2")
    wait_until_blocked(server7)
    gone.unlink()
    bury(queue, "x")
    bury(queue, "y")
    _, err = following.communicate(timeout=30)
    assert following.returncode == 0
    assert err.decode().splitlines() == [
        f"Warning: {gone} cannot be run: No such file or directory (dead {id})" for id in ("x", "y")
    ]


def lives(pid: int) -> bool:
    """Whether there is such a process, and it is no corpse."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


_SLEEPER = (
    "import subprocess\n"
    "if event['id'] == 'x':\n"
    # Not on our standard error: whoever survives would keep the test from ending.
    "    child = subprocess.Popen(['sleep', '60'], stdout=-3, stderr=-3)\n"
    "    open('pid.new', 'w').write(str(child.pid)); os.rename('pid.new', 'pid')\n"
    "    child.wait()"
)


def test_a_command_that_hangs_is_killed_with_all_that_it_started(
    program: Program, queue: Queue, server7: RedisServer, tmp_path: Path, recorder: Callable[..., str]
) -> None:
    """After --exec-timeout; the next alert is handled."""
    words = ("--exec", recorder(_SLEEPER), "--exec-timeout", "1s", "--limit", "2")
    following = program.start("events", "--alerts", *words)
    wait_until_blocked(server7)
    bury(queue, "x")
    bury(queue, "y")
    _, err = following.communicate(timeout=30)
    assert err.decode().splitlines()[0].endswith("was killed after 1s (dead x)")
    assert got_ids(tmp_path) == ["x", "y"]
    wait_until(lambda: not lives(int((tmp_path / "pid").read_text())))


def test_a_command_ends_with_the_one_who_is_killed(
    program: Program, queue: Queue, server7: RedisServer, tmp_path: Path, recorder: Callable[..., str]
) -> None:
    """Else it would work on beside the next run, which handles the same alert."""
    code = "open('own.new', 'w').write(str(os.getpid())); os.rename('own.new', 'own'); import time; time.sleep(600)"
    following = program.start("events", "--alerts", "--exec", recorder(code))
    wait_until_blocked(server7)
    bury(queue, "x")
    wait_until((tmp_path / "own").exists, timeout=30)
    command = int((tmp_path / "own").read_text())
    assert lives(command)
    following.kill()
    try:
        wait_until(lambda: not lives(command))
    finally:
        with suppress(ProcessLookupError):
            os.kill(command, signal.SIGKILL)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -15)])
def test_a_signal_ends_the_command_too(
    number: signal.Signals,
    code: int,
    program: Program,
    queue: Queue,
    server7: RedisServer,
    tmp_path: Path,
    recorder: Callable[..., str],
) -> None:
    """No orphan is left, and the alert is handled again by the next run."""
    words = ("events", "--alerts", "--exec", recorder(_SLEEPER), "--cursor-file", "c", "--limit", "1")
    following = program.start(*words)
    wait_until_blocked(server7)
    bury(queue, "x")
    wait_until((tmp_path / "pid").exists)
    following.send_signal(number)
    following.communicate(timeout=30)
    assert following.returncode == code
    wait_until(lambda: not lives(int((tmp_path / "pid").read_text())))
    recorder("")
    assert program(*words).code == 0
    assert got_ids(tmp_path) == ["x", "x"]


def test_kill_9_between_events_loses_no_alert(
    program: Program, queue: Queue, server7: RedisServer, tmp_path: Path, recorder: Callable[..., str]
) -> None:
    """Killed again and again, also while the command runs and in the middle of an entry: every alert is handled."""
    command = recorder("")
    words = ("events", "--alerts", "--exec", command, "--cursor-file", "c")
    first = program.start(*words)
    # The place is kept before the first event comes.
    wait_until((tmp_path / "c").exists)
    first.kill()
    first.communicate()
    add_many(queue, 12)
    claims = queue.claim_many("me", "a", 12)
    queue.exchange("me", "a", finished=[Failed(claim, "broken", retry=False) for claim in claims], limit=1)
    for number in range(1, 12, 3):
        following = program.start(*words)
        wait_until(lambda: len(set(got_ids(tmp_path))) > number, timeout=30)  # noqa: B023
        following.kill()
        following.communicate()
        assert Place(tmp_path / "c").read() is not None
    dead = [f"x{n}" for n in range(12)]
    with running(program, *words):
        wait_until(lambda: set(got_ids(tmp_path)) >= set(dead), timeout=30)
    ids = [id for id in got_ids(tmp_path) if id is not None]  # the breaker opened too
    # In order; twice is only what a kill cut off.
    assert sorted(set(ids), key=ids.index) == dead
    assert len(ids) <= 12 + 5


def test_the_place_moves_over_what_is_not_wanted(
    program: Program, queue: Queue, server7: RedisServer, tmp_path: Path
) -> None:
    """Else it would be trimmed away while no alert comes, and the next run report a gap."""
    with running(program, "events", "--follow", "--alerts", "--cursor-file", "c"):
        wait_until_blocked(server7)
        begin = Place(tmp_path / "c").read()

        def moved() -> bool:
            add_many(queue, 1, prefix=f"x{len(list(queue.events()))}-")
            return Place(tmp_path / "c").read() != begin

        wait_until(moved)


class Hook(http.server.ThreadingHTTPServer):
    """Answers each request with the next of *answers* (0: not at all), then with 204; keeps what it got."""

    daemon_threads = True

    def __init__(self, answers: list[int]) -> None:
        self.answers = answers
        self.requests: list[tuple[str, str, str, Any]] = []
        super().__init__(("127.0.0.1", 0), _Answer)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/hooks/s3cret"


class _Answer(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        server = self.server
        assert isinstance(server, Hook)
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        server.requests.append(
            (self.command, self.path, self.headers["Content-Type"], json.loads(body) if body else None)
        )
        code = server.answers.pop(0) if server.answers else 204
        if code == 0:
            self.connection.close()
            return
        self.send_response(code)
        if 300 <= code < 400:
            self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Hook]]:
    """Makes a webhook on a free port of this machine."""
    monkeypatch.setenv("no_proxy", "*")
    made: list[Hook] = []

    def make(*answers: int) -> Hook:
        server = Hook(list(answers))
        made.append(server)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return server

    yield make
    for server in made:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("failure", [503, 429, 0])
def test_a_webhook_gets_each_alert(
    failure: int, program: Program, queue: Queue, server7: RedisServer, hook: Callable[..., Hook]
) -> None:
    """As JSON, though it fails twice, and nothing is said about that."""
    server = hook(failure, failure)
    following = program.start("events", "--alerts", "--webhook", server.url, "--limit", "2")
    wait_until_blocked(server7)
    bury_with(queue, "x", HOSTILE)
    bury(queue, "y")
    _, err = following.communicate(timeout=60)
    assert (following.returncode, err) == (0, b"")
    assert [request[:3] for request in server.requests] == [("POST", "/hooks/s3cret", "application/json")] * 4
    assert [request[3]["id"] for request in server.requests] == ["x", "x", "x", "y"]
    assert server.requests[2][3]["text"] == STORED


@pytest.mark.parametrize(
    ("answers", "said", "tries"),
    [
        ([500] * 4, "answered 500 ", 4),
        ([404], "answered 404 ", 1),
        ([302], "answered 302 ", 1),
        ([307], "redirects", 1),
    ],
)
def test_a_webhook_that_stays_broken_is_told(
    answers: list[int],
    said: str,
    tries: int,
    program: Program,
    queue: Queue,
    server7: RedisServer,
    hook: Callable[..., Hook],
) -> None:
    """In one line without the path, which is often a password; no redirect is followed; the next alert is posted."""
    server = hook(*answers)
    following = program.start("events", "--alerts", "--webhook", server.url, "--limit", "2")
    wait_until_blocked(server7)
    bury(queue, "x")
    bury(queue, "y")
    _, err = following.communicate(timeout=60)
    assert following.returncode == 0
    [line] = err.decode().splitlines()
    assert said in line
    assert line.endswith("(dead x)")
    assert "s3cret" not in line
    assert [request[3]["id"] for request in server.requests] == ["x"] * tries + ["y"]


def test_a_webhook_that_is_not_there_is_told(
    program: Program, queue: Queue, server7: RedisServer, hook: Callable[..., Hook]
) -> None:
    """After its tries, in one line."""
    server = hook()
    server.shutdown()
    server.server_close()
    following = program.start("events", "--alerts", "--webhook", server.url, "--limit", "1")
    wait_until_blocked(server7)
    bury(queue, "x")
    _, err = following.communicate(timeout=60)
    assert following.returncode == 0
    [line] = err.decode().splitlines()
    assert "refused" in line


def test_the_documentation_lists_the_kinds() -> None:
    """All of them, and the alerts."""
    from .test_documented import DOCS

    section = DOCS.read_text().partition("### `lokiredis events`")[2].partition("\n### ")[0]
    for kind in KINDS:
        assert f"`{kind}`" in section
    alerts = section.partition("**Alerts.**")[2].partition("`--exec`")[0]
    assert {kind for kind in KINDS if f"`{kind}`" in alerts} == ALERTS
