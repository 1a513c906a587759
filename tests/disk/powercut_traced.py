"""Power cuts of the real command: strace sees every write, SQLite's own too, and the model loses what was not synced.

The files that a power cut leaves are laid out, and SQLite opens the ledger as the next run would. It must hold every
commit that the command acted upon: a POST that was sent, a line that people were shown, a file that got its name.
What it then says of videos must be so.
"""

import re
import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from disk.operations import Acted, Operation, Synced
from disk.platter import Content, Disk, State
from disk.powercut import cut_everywhere, needed_syncs
from disk.promises import LEDGER, Promises, below
from disk.server import CALLSHEET, TREE, environment, manifest, serving
from disk.strace import Trace, traced
from disk.takes import snapshot

from pipeline.ledger import reading

CAMPAIGN = "outputs/trip"
_MANY = 24
_FILES = (LEDGER, f"{LEDGER}-wal", f"{LEDGER}-journal")
_JOBS = [{"id": "city", "prompt": "A city"}, {"id": "sea", "prompt": "The sea", "takes": 2}]
#: The second run has one job more, and another name for one that is done.
_MORE_JOBS = [{"id": "town", "prompt": "A city"}, _JOBS[1], {"id": "moon", "prompt": "The moon"}]
_ABOUT = {"intended": "idempotency_key", "accepted": "video_id", "verified": "sha256", "published": "path"}


@dataclass
class Reel:
    """What runs of the command did to a folder, and to whom they spoke meanwhile. ``names``: of what is synced."""

    log: list[Operation] = field(default_factory=list)
    names: dict[int, str] = field(default_factory=dict)


def filmed(tree: Path = TREE, *, runs: int = 2) -> Reel:
    """Trace runs of the command of this tree, on a new campaign. Raises AssertionError where they fail."""
    reel = Reel()
    with tempfile.TemporaryDirectory() as scratch:
        folder, home = Path(scratch), Path(scratch, "home")
        home.mkdir()
        said = folder / "said"
        tracer = Trace(home, said)
        with serving(folder) as server:
            for number, jobs in enumerate((_JOBS, _MORE_JOBS)[:runs]):
                path, trace = manifest(folder, jobs), folder / f"trace-{number}"
                command = [*CALLSHEET, "run", str(path), "--base-url", server.url]
                code = traced(command, folder=home, trace=trace, said=said, environment=environment(tree))
                assert code == 0, said.read_text()
                for operation in tracer.read(trace):
                    if isinstance(operation, Synced):
                        reel.names[len(reel.log)] = tracer.disk.name(operation.node)
                    reel.log.append(operation)
        acted = {operation.kind for operation in reel.log if isinstance(operation, Acted)}
        assert acted == {"intended", "accepted", "completed", "verified", "published"}, "its words are not understood"
        assert tracer.disk.now() == snapshot(home, sqlite=True), "the trace does not tell all that was written"
    return reel


@dataclass(frozen=True)
class Told:
    """What a ledger says: its jobs as promises, and what it justifies. ``error`` where it cannot be read."""

    promises: Promises
    facts: frozenset[tuple[str, str]] = frozenset()
    error: str | None = None


class Ledgers:
    """Opens the ledgers that power cuts leave, each one once, in a scratch folder."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._known: dict[tuple[str | None, ...], Told] = {}

    @property
    def opened(self) -> int:
        return len(self._known)

    def told(self, state: State) -> Told:
        files = tuple(state.get(f"{CAMPAIGN}/{name}") for name in _FILES)
        mark = tuple(content and content.sha256 for content in files)
        if mark not in self._known:
            self._known[mark] = self._opened(files)
        return self._known[mark]

    def _opened(self, files: tuple[Content | None, ...]) -> Told:
        if files[0] is None:
            return Told(Promises())
        shutil.rmtree(self._scratch, ignore_errors=True)
        self._scratch.mkdir()
        for name, content in zip(_FILES, files, strict=True):
            if content is not None:
                (self._scratch / name).write_bytes(content.data)
        try:
            with closing(sqlite3.connect(self._scratch / LEDGER)) as connection:
                (sound,) = connection.execute("PRAGMA integrity_check").fetchone()
                return self._read(connection) if sound == "ok" else Told(Promises(), error=f"the ledger: {sound}")
        except sqlite3.Error as error:
            return Told(Promises(), error=f"the ledger cannot be read: {error}")

    def _read(self, connection: sqlite3.Connection) -> Told:
        promises, facts = Promises(parts=True), set[tuple[str, str]]()
        for job in reading.jobs(connection):
            promises.say(job)
            for entry in reading.events(connection, job):
                about = job.video_id if entry.kind == "completed" else entry.data.get(_ABOUT.get(entry.kind, ""))
                if about is not None:
                    facts.add((entry.kind, about))
        return Told(promises, frozenset(facts))


class Reader:
    """A witness who reads the ledger that is left, and knows what was done because of what it said before."""

    def __init__(self, ledgers: Ledgers) -> None:
        self._ledgers = ledgers
        self._acted: set[tuple[str, str]] = set()

    def heed(self, operation: Operation) -> bool:
        if isinstance(operation, Acted):
            self._acted.add((operation.kind, operation.about))
        return isinstance(operation, Acted)

    def broken(self, state: State) -> Iterator[str]:
        told = self._ledgers.told(state)
        if told.error is not None:
            yield told.error
            return
        for kind, about in self._acted - told.facts:
            yield f"the ledger has forgotten that {about} was {kind}"
        yield from told.promises.broken(below(state, CAMPAIGN))


#: What is to be caught when it is wrong in the product's source: the right words, and the wrong ones.
MUTANTS: Mapping[str, tuple[str, str]] = {
    "synchronous = NORMAL": ("PRAGMA synchronous = FULL", "PRAGMA synchronous = NORMAL"),
    "no sync of a video": ("self._mode)\n        os.fsync(descriptor)\n", "self._mode)\n"),
    "no sync of a folder": ("        os.fsync(descriptor)\n    except OSError", "        pass\n    except OSError"),
    "no sync of a sidecar": (".encode())\n        os.fsync(descriptor)\n", ".encode())\n"),
}


def mutated(scratch: Path, name: str) -> Path:
    """Return a copy of the tree in which one thing is wrong."""
    right, wrong = MUTANTS[name]
    tree = scratch / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    for part in ("pipeline", "schemas", "manifests"):
        shutil.copytree(TREE / part, tree / part, ignore=shutil.ignore_patterns("__pycache__"))
    sources = [path for path in (tree / "pipeline").rglob("*.py") if right in path.read_text("utf-8")]
    assert len(sources) == 1, f"{right!r} is in {sources}, not in one file"
    sources[0].write_text(sources[0].read_text("utf-8").replace(right, wrong), "utf-8")
    return tree


def prove(say: Callable[[str], None]) -> bool:
    """Make all of it, and say what was found; return whether every promise was kept and every mutant caught."""
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        reel, ledgers = filmed(), Ledgers(scratch / "ledger")
        kinds = Counter(type(operation).__name__ for operation in reel.log)
        say(f"two runs of the command: {', '.join(f'{count} {kind}' for kind, count in kinds.most_common())}")
        found = cut_everywhere(reel.log, Disk(samples=_MANY), Reader(ledgers))
        say(f"{found.states} states after a power cut, {len(found.broken)} broken promises")
        for words, count in Counter(words for _, words in found.broken).most_common(5):
            say(f"    {count} times: {words}")
        good = _syncs_shown(say, reel, ledgers) and not found
        say(f"{ledgers.opened} different ledgers were opened")
        for name in MUTANTS:
            found = cut_everywhere(filmed(mutated(scratch, name), runs=1).log, Disk(), Reader(ledgers), first=True)
            say(f"{'caught' if found else 'NOT CAUGHT'}: {name}: {found.broken[0][1] if found else 'nothing breaks'}")
            good &= bool(found)
    return good


#: What is synced, by its path, and why nobody may miss it; None where each one must be missed.
_KINDS: Sequence[tuple[str, str, str | None]] = (
    (r".*/\.probe[^/]*", "a probe", "it asks whether one can"),
    (r".*\.mp4\.\w+\.part", "a video", None),
    (r".*\.json\.part", "a sidecar", None),
    (r".*/ledger\.db-wal", "the ledger's log", "nothing was done upon this commit before the next one was synced"),
    (r".*/ledger\.db", "the ledger itself", None),
    (r".*/\.ledger\.db\.new.*", "a ledger without its name", "without its name it is made anew"),
    (r".*/ledger\.ballast", "the ballast", "it holds nothing"),
    (r".*/videos", "the videos' folder", "it is synced once more before anything in it counts"),
    (r".*/videos/.*", "a folder of videos", None),
    (r"outputs/trip", "the campaign's folder", "it is synced for the ledger, for videos/, and by SQLite"),
    (r"outputs|", "the folders above", "they are synced in every run, for one that was killed may have made them"),
)


def _kind(name: str) -> tuple[str, str | None]:
    return next((kind, why) for pattern, kind, why in _KINDS if re.fullmatch(pattern, name))


def _syncs_shown(say: Callable[[str], None], reel: Reel, ledgers: Ledgers) -> bool:
    """Take the syncs out, one after the other, and show which kinds are missed; what is not must have a reason."""
    needed, superfluous = needed_syncs(reel.log, lambda: (Disk(), Reader(ledgers)))
    say(f"of {len(needed) + len(superfluous)} syncs {len(needed)} are needed, each by itself:")
    for (kind, _), count in Counter(_kind(reel.names[number]) for number in needed).most_common():
        say(f"    {count:3} of {kind}")
    say("nothing breaks without all of these together:")
    unexplained = False
    for (kind, why), count in Counter(_kind(reel.names[number]) for number in superfluous).most_common():
        say(f"    {count:3} of {kind}: {why or 'NOBODY KNOWS WHY'}")
        unexplained |= why is None
    return not unexplained
