"""Takes: recorded plays of the campaign, each of which may continue what the power, or a kill, has left of another.

What is killed loses nothing that it has written, and syncs nothing that it has not: the next run must not take it
for safe. What loses its power is laid out anew from what the model says is left.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from disk.operations import Operation, Recorded, Recording
from disk.platter import Content, Disk, State
from disk.promises import LEDGER, Heard, Promises
from disk.recording import recorded
from disk.staging import TAKEN, assert_finished, image, in_virtual_time, play, world_in


@dataclass
class Take:
    """A recorded play. ``before`` lay there, synced, and ``known`` is what earlier takes had the ledger say.

    ``began``: the last operation that is another take's. ``ledgers`` and ``servers``: what their files held at each
    operation.
    """

    before: State
    known: list[Operation] = field(default_factory=list)
    log: list[Operation] = field(default_factory=list)
    began: int = -1
    ledgers: list[bytes | None] = field(default_factory=list)
    servers: list[bytes | None] = field(default_factory=list)

    def again(self, *, parts: bool = False, journal: bool = False) -> tuple[Disk, Heard]:
        """Return the disk as it was before, and a witness who knows what was said before."""
        witness = Heard(Promises(kept=self.kept, parts=parts))
        for operation in self.known:
            witness.heed(operation)
        return Disk(self.before, journal=journal), witness

    @property
    def kept(self) -> State:
        """The files that are somebody else's."""
        return {path: content for path, content in self.before.items() if path == TAKEN}

    def disk_after(self, number: int) -> Disk:
        """Return the disk as it is behind this operation, with all that is not synced yet."""
        disk = Disk(self.before)
        for operation in self.log[: number + 1]:
            disk.apply(operation)
        return disk


def first_take(folder: Path, before: State) -> Take:
    """Play the campaign from its beginning. The folder is for this take alone."""
    return _shoot(folder, Take(before), Disk(before), before, None, None, later=0)


def after_a_cut(folder: Path, take: Take, number: int, left: State) -> Take:
    """Play on after the power went behind this operation and left this. All that is left is synced."""
    known = [operation for operation in take.log[: number + 1] if isinstance(operation, Recorded)]
    return _shoot(folder, Take(left, known), Disk(left), left, take.ledgers[number], take.servers[number])


def after_a_kill(folder: Path, take: Take, number: int) -> Take:
    """Play on after the run was killed behind this operation. The take that is returned begins with all that it did."""
    disk = take.disk_after(number)
    so_far = Take(take.before, log=_acknowledged(take.log[: number + 1]))
    so_far.began = len(so_far.log) - 1
    return _shoot(folder, so_far, disk, disk.now(), take.ledgers[number], take.servers[number])


def _shoot(
    folder: Path,
    take: Take,
    disk: Disk,
    lying: State,
    ledger: bytes | None,
    server: bytes | None,
    *,
    later: float = 60,
) -> Take:
    campaign, bill = folder / "campaign", folder / "server.db"
    lay_out(lying, campaign)
    if LEDGER in lying and ledger is not None:
        (campaign / LEDGER).write_bytes(ledger)
    if server is not None:
        bill.write_bytes(server)

    def note(operation: Operation) -> None:
        take.log.append(operation)
        disk.apply(operation)
        take.ledgers.append(image(campaign / LEDGER))
        take.servers.append(image(bill))

    with world_in(campaign, bill, later=later) as world:
        with recorded(campaign, disk, note):
            in_virtual_time(partial(play, world))
        assert_finished(world)
        assert disk.now() == snapshot(campaign), "the recording has missed something"
    return take


def _acknowledged(log: Sequence[Operation]) -> list[Operation]:
    """Return the log without what the ledger was only about to say: now it never will."""
    about: dict[str, int] = {}
    for number, operation in enumerate(log):
        if isinstance(operation, Recording):
            about[operation.job.request_hash] = number
        elif isinstance(operation, Recorded):
            del about[operation.job.request_hash]
    return [operation for number, operation in enumerate(log) if number not in about.values()]


def snapshot(folder: Path, *, sqlite: bool = False) -> State:
    """Return what lies in the folder; the bytes that SQLite writes, unseen by a recording, only where asked for."""
    found: dict[str, Content | None] = {}
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if path.is_dir():
            found[name] = None
        elif sqlite or not path.name.startswith(f"{LEDGER}-"):
            data = path.read_bytes() if sqlite or path.name != LEDGER else b""
            found[name] = Content(data, path.stat().st_mode & 0o7777)
    return found


def lay_out(state: State, folder: Path) -> None:
    """Make the folder hold what the state says."""
    folder.mkdir(parents=True)
    for name, content in sorted(state.items()):
        path = folder / name
        if content is None:
            path.mkdir()
        else:
            path.write_bytes(content.data)
            path.chmod(content.mode)
