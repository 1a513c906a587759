"""One ledger's life: runs that are killed, a run that is left alone until nothing changes, and one run more.

What is killed is a ``Subject``: a command, and how far it says it has come. Everything is drawn from the trial's seed
(which jobs meet which faults, which kills come when), so a trial can be repeated; what the processes make of it in the
same milliseconds is theirs.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from random import Random
from threading import Event
from typing import IO, Protocol

from failpoints import FAILPOINTS, GONE
from injection import Instant

HERE = Path(__file__).parent
KILLS = 25
"""Kills of one ledger that count, at most. A ledger that is killed for ever tells nothing about how it ends."""

_WINDOW = 1.0
"""Seconds of a run in which it is killed at random: what the fastest run of a few jobs takes."""

_PATIENCE = 10.0
"""Seconds after which a failpoint that was not reached is given up; the kill is then one at a random instant."""

_RUNS = 60
"""How often it may take the command to come to an end that another run does not change."""

_LONGEST = 240.0
"""Seconds. A run that takes longer is ended, and an end that no run should have."""


class Subject(Protocol):
    """What is killed. Its folder is the trial's."""

    ledger: Path | None

    def prepare(self, url: str) -> None:
        """Write what the command needs, for a server at this address."""
        ...

    def waiting(self) -> list[str]:
        """The command that begins when a line comes on its standard input: a failpoint's name, or nothing."""
        ...

    def plain(self) -> list[str]:
        """The same command as a person types it."""
        ...

    def standing(self) -> Counter[str]:
        """How many jobs stand where, by what the command has written down. Empty before it has."""
        ...

    def submitting(self) -> list[str]:
        """The prompts of the jobs whose request is announced and has no recorded answer."""
        ...

    def under_way(self, standing: Mapping[str, int]) -> bool:
        """Whether a job is between intent and done."""
        ...

    def settled(self, standing: Mapping[str, int]) -> bool:
        """Whether another run has nothing to do."""
        ...


@dataclass(frozen=True, slots=True)
class Kill:
    """A planned kill: at a failpoint, the so-manieth time; or so many seconds after the start."""

    failpoint: str | None
    number: int = 0
    after: float = 0.0


@dataclass(slots=True)
class Killed:
    """A kill that happened. It counts where a job was between intent and done."""

    failpoint: str | None
    number: int
    after: float
    standing: dict[str, int]
    counts: bool
    submitting: int
    at: float


@dataclass(slots=True)
class Trial:
    """A trial that is over: what was done to it, and what its last runs said."""

    name: str
    folder: Path
    kills: list[Killed] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    announced: set[str] = field(default_factory=set)
    runs: int = 0
    exits: Counter[int] = field(default_factory=Counter)
    finished: Counter[str] = field(default_factory=Counter)
    rerun: list[str] = field(default_factory=list)
    seconds: float = 0.0
    killing: float = 0.0


def planned(seed: str, failpoints: Sequence[str], index: int, share: int) -> list[Kill]:
    """Return the kills of the trial with this index: so many at failpoints, which all have their turn, in any order."""
    rng = Random(seed)
    named = [failpoints[(index * share + turn) % len(failpoints)] for turn in range(share)] if failpoints else []
    kills = [Kill(name, number=_number(name, rng)) for name in named]
    kills += [Kill(None, after=rng.uniform(0, _WINDOW)) for _ in range(KILLS - len(kills))]
    rng.shuffle(kills)
    return kills


def _number(name: str, rng: Random) -> int:
    if name == "part-growing":
        return rng.randint(1, 12)
    return rng.randint(1, 3) if name.startswith(("intent", "id", "net", "answer", "status")) else 1


class Stopped(Exception):
    """The campaign was told to end."""


def conduct(trial: Trial, subject: Subject, *, seed: str, kills: Sequence[Kill], faults: float, stop: Event) -> None:
    """Kill, finish, run once more. The folder is left as it is then, with the bill and the log of requests."""
    folder, began = trial.folder, time.monotonic()
    with server(folder, seed=seed, faults=faults, ledger=subject.ledger) as paid:
        subject.prepare(paid.url)
        with (folder / "runs.log").open("a") as log:
            _kill_all(trial, subject, paid, list(kills), log, stop)
            trial.killing = time.monotonic() - began
            _finish(trial, subject, log, stop)
            before = len(requests(folder))
            _run(trial, subject, log)
            trial.rerun = [request["method"] for request in requests(folder)[before:]]
    trial.seconds = time.monotonic() - began
    (folder / "kills.json").write_text(json.dumps([asdict(kill) for kill in trial.kills], indent=1))


class Paid:
    """The server's process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.url = self._answer()

    def arm(self, instant: str, number: int, pid: int) -> None:
        self._say(f"arm {instant} {number} {pid}")

    def disarm(self) -> None:
        self._say("disarm")

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        self._answer()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        answer = self._process.stdout.readline().strip()
        if not answer:
            raise RuntimeError("the server of the campaign has ended")
        return answer


@contextmanager
def server(folder: Path, *, seed: str, faults: float, ledger: Path | None) -> Iterator[Paid]:
    """A server with an empty bill. At the end it finishes what it has begun to do, and is gone."""
    options = ["--folder", str(folder), "--seed", seed, "--faults", str(faults)]
    options += ["--ledger", str(ledger)] if ledger else []
    command = [sys.executable, str(HERE / "server.py"), *options]
    with _ended(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)) as process:
        yield Paid(process)
        assert process.stdin is not None
        process.stdin.close()
        process.wait(timeout=20)


@contextmanager
def _ended(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """The process does not outlive the block."""
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()


def requests(folder: Path) -> list[dict[str, str]]:
    """Return what the server was asked, in order."""
    path = folder / "requests.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _environment(folder: Path) -> dict[str, str]:
    """The environment without what could change the command, and with a place of its own for what it rescues."""
    ours = {name: value for name, value in os.environ.items() if not name.upper().startswith(("CALLSHEET", "ZNAPAI"))}
    return ours | {"XDG_STATE_HOME": str(folder / "state")}


def _started(command: list[str], folder: Path, log: IO[str], output: int) -> subprocess.Popen[str]:
    environment = _environment(folder)
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=output, stderr=log, text=True
    )


def _launched(subject: Subject, folder: Path, log: IO[str]) -> subprocess.Popen[str]:
    """Start a command that waits for its line. Its imports are done while the one before it is being killed."""
    return _started(subject.waiting(), folder, log, subprocess.PIPE)


def _kill_all(trial: Trial, subject: Subject, paid: Paid, kills: list[Kill], log: IO[str], stop: Event) -> None:
    """Kill as planned, until every job is settled. What did not come to a kill that counts gets another chance."""
    most = len(kills)
    waiting = _launched(subject, trial.folder, log)
    try:
        while kills:
            _heed(stop)
            kill = _next(kills, trial)
            with _ended(waiting) as process:
                waiting = _launched(subject, trial.folder, log)
                reached = _killed(process, kill, paid)
            trial.runs += 1
            if process.returncode == -signal.SIGKILL:
                _note(trial, subject, kill, reached)
            else:
                _heed_exit(trial, process.returncode)
                if subject.settled(subject.standing()):
                    return
            _give_another_chance(trial, kill, reached, kills, most)
    finally:
        with _ended(waiting):
            pass


def _give_another_chance(trial: Trial, kill: Kill, reached: bool, kills: list[Kill], most: int) -> None:
    """A failpoint that was not reached, and a kill that does not count, come once more at the end.

    Instead of one that was reached for nothing comes one at some instant: it would be reached for nothing again.
    """
    if kill.failpoint is not None and not reached:
        trial.missed.append(kill.failpoint)
        if trial.missed.count(kill.failpoint) == 1:
            kills.append(Kill(kill.failpoint, number=1))
    if sum(kill.counts for kill in trial.kills) + len(kills) < most:
        failpoint = None if reached else kill.failpoint
        kills.append(replace(kill, failpoint=failpoint, number=1, after=kill.after + _WINDOW / 4))


def _next(kills: list[Kill], trial: Trial) -> Kill:
    """Take the next kill: one that needs a doubt as soon as the kill before has left one behind."""
    if trial.kills and trial.kills[-1].submitting:
        for kill in kills:
            if kill.failpoint is not None and kill.failpoint.startswith(("doubt", "hold", "adoption")):
                kills.remove(kill)
                return kill
    return kills.pop(0)


def _killed(process: subprocess.Popen[str], kill: Kill, paid: Paid) -> bool:
    """Let the process begin and see to its end; tell whether it died at its failpoint."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdout.readline()  # nothing, where it could not even be imported: its exit code says so
    on_network = kill.failpoint in set(Instant)
    if on_network:
        assert kill.failpoint is not None
        paid.arm(kill.failpoint, kill.number, process.pid)
    watched = kill.failpoint in FAILPOINTS
    with suppress(BrokenPipeError):
        process.stdin.write(f"{kill.failpoint}:{kill.number}\n" if watched else "\n")
        process.stdin.close()
    try:
        process.wait(timeout=_PATIENCE if kill.failpoint else kill.after)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return False
    finally:
        if on_network:
            paid.disarm()
    return process.returncode == -signal.SIGKILL


def _note(trial: Trial, subject: Subject, kill: Kill, reached: bool) -> None:
    standing, submitting = subject.standing(), subject.submitting()
    trial.announced |= set(submitting)
    trial.kills.append(
        Killed(
            kill.failpoint if reached else None,
            kill.number,
            kill.after,
            dict(standing),
            subject.under_way(standing),
            len(submitting),
            round(time.time(), 3),
        )
    )


def _heed(stop: Event) -> None:
    if stop.is_set():
        raise Stopped


def _finish(trial: Trial, subject: Subject, log: IO[str], stop: Event) -> None:
    """Run until everything is settled, or two runs have changed nothing."""
    before: Counter[str] | None = None
    for _ in range(_RUNS):
        _heed(stop)
        standing = subject.standing()
        if subject.settled(standing) or standing == before:
            break
        before = standing
        _run(trial, subject, log)
    trial.finished = subject.standing()


def _run(trial: Trial, subject: Subject, log: IO[str]) -> None:
    began = time.monotonic()
    with _ended(_started(subject.plain(), trial.folder, log, subprocess.DEVNULL)) as process:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=_LONGEST)
    trial.runs += 1
    log.write(f"-- {time.monotonic() - began:.2f} s, exit code {process.returncode}\n")
    log.flush()
    _heed_exit(trial, process.returncode)


def _heed_exit(trial: Trial, code: int) -> None:
    if code == GONE:
        raise RuntimeError((trial.folder / "runs.log").read_text()[-2000:])
    trial.exits[code] += 1
