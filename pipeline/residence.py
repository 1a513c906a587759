"""What a run makes sure of before it takes a ledger over: that this is the one, and that it is run nowhere else."""

import socket

from pipeline.campaign import Campaign
from pipeline.errors import LedgerError, StorageError
from pipeline.ledger import reading
from pipeline.ledger.home import moved_in, was_run
from pipeline.ledger.lock import Lock
from pipeline.ledger.store import SqliteLedger
from pipeline.surroundings import storable


def refuse_to_begin_anew(campaign: Campaign, lock: Lock) -> None:
    """Raise StorageError where the ledger that is not there has been, and may have known what is paid."""
    rendered = campaign.outputs.holds_videos()
    if rendered or was_run(lock.last):
        anew = "make it anew with `callsheet rebuild`, " if rendered else ""
        raise StorageError(
            f"{campaign.folder} was run before, and its ledger is gone: running would pay for its videos again. "
            f"Bring ledger.db back, {anew}or choose another --output"
        )


async def move_in(ledger: SqliteLedger, campaign: Campaign, lock: Lock, *, takeover: bool, work: bool) -> str | None:
    """Note that this is the place where the ledger is run; return what speaks against it.

    Raises LedgerError, without a person's word, where it may be run elsewhere too. Where there is no work, nothing can
    be paid for twice: a copy that was handed over finished stays a copy, and the word is wanted when there is.
    """
    with reading.opened(campaign.ledger) as connection:
        before = reading.settings(connection).get("home")
    path = campaign.ledger.absolute()
    here = {"inode": path.stat().st_ino, "host": socket.gethostname(), "path": storable(str(path))}
    home, warning = moved_in(before, lock.last, here)
    if warning is not None and not takeover:
        if not work:
            return None
        raise LedgerError(f"{warning}. If you know that it is not so, use --takeover")
    await ledger.remember(home=home)
    lock.sign(generation=home["generation"])
    return warning
