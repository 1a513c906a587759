"""A rejection has three steps: another name for the file, the record, the end of the old name.

Where it is killed before the record, nothing has happened to the job; after it, the old name is taken away by whoever
holds the campaign next, so that the next take gets it.
"""

from pipeline.campaign import Campaign
from pipeline.jobs import State
from pipeline.ledger import reading


def finish(campaign: Campaign) -> None:
    """Take the old names of rejected videos away that are still there. The caller holds the run lock.

    Only before another take is sent for, only where the file lies elsewhere too, and never a name that a job has.
    """
    outputs = campaign.outputs
    with reading.opened(campaign.ledger) as connection:
        for one in list(reading.rejections(connection, {State.PLANNED})):
            if outputs.has(one["kept"], one["kept_sha256"]) and not reading.is_a_jobs(connection, one["was"]):
                outputs.delete(one["was"], one["kept_sha256"])
