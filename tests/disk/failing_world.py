"""Two videos in the world of ``staging``, on a disk that fails; then once more, on one that does not."""

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from errno import EIO
from functools import partial
from pathlib import Path

from disk.accounts import complaints
from disk.failing import Fault, failing
from disk.operations import Operation
from disk.platter import Disk
from disk.recording import recorded
from disk.staging import FAST, SPECS, in_virtual_time, world_in
from world import World, waits

from pipeline.errors import CallsheetError

_TWO = SPECS[:2]
_NEVER = 1_000_000


def complaints_after(folder: Path, fault: Fault, *, keys: bool) -> Iterator[str]:
    """Yield what is wrong after a run with the fault and one without. The folder is for this alone."""
    campaign, server = folder / "campaign", folder / "server.db"
    campaign.mkdir(parents=True)
    with world_in(campaign, server, keys=keys) as world:
        world.fault("POST", "/videos", waits(1), waits(1))  # both are under way when the first one is answered
        words, wrong = _ended(world, failing(campaign, fault))
    yield from wrong
    with world_in(campaign, server, keys=keys, later=60) as world:
        said, wrong = _ended(world, nullcontext())
        yield from (f"then {what}" for what in (*wrong, said) if what)
        bill = [(line.video_id, json.loads(line.request)["prompt"]) for line in world.bill()]
        yield from complaints(world.jobs().values(), bill, words, keys=keys)
        yield from (f"{path.name} lies about" for path in campaign.rglob("*.part"))


def rescue_recorded(folder: Path) -> tuple[list[Operation], set[str]]:
    """Record a run whose ledger fails when two ids are to be written down, and once more when it is opened again.

    Return what was done to its files, and the ids that were paid and lie in the rescue file.
    """
    healthy = Fault(_NEVER, EIO)
    assert list(complaints_after(folder / "healthy", healthy, keys=False)) == []
    for number in (number for number, call in enumerate(healthy.calls, 1) if call == "BEGIN"):
        campaign, disk, log = folder / str(number), Disk(), list[Operation]()
        campaign.mkdir()
        with world_in(campaign, folder / f"{number}.db", keys=False) as world:
            world.fault("POST", "/videos", waits(1), waits(1))
            _ended(world, _both(failing(campaign, Fault(number, EIO, lasts=3)), recorded(campaign, disk, log.append)))
            rescued = campaign / "ledger.rescue.jsonl"
            if rescued.exists():
                lines = rescued.read_text("utf-8")
                return log, {line.video_id for line in world.bill() if line.video_id in lines}
    raise AssertionError("nothing was rescued")


@contextmanager
def _both(first: AbstractContextManager[None], second: AbstractContextManager[None]) -> Iterator[None]:
    with first, second:
        yield


def _ended(world: World, trouble: AbstractContextManager[None]) -> tuple[str, list[str]]:
    """Run the campaign; return what people would be shown of its end, and what would be a traceback."""
    try:
        with trouble:
            in_virtual_time(partial(world.run, _TWO, **FAST))
    except (Exception, BaseExceptionGroup) as error:  # noqa: BLE001  # to be looked at
        ends = list(_leaves(error))
        wrong = [repr(end) for end in ends if not (isinstance(end, CallsheetError) and end.exit_code == 5)]
        return "\n".join(str(end) for end in ends), wrong
    return "", []


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error
