"""What lies around a campaign, the same for every verb: its folder, its profile, where rescued ids may lie,
and the simulator in a server's place.

The environment and the clock are handed in.
"""

from __future__ import annotations  # what only lends its type is not loaded

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.campaign import Campaign
from pipeline.errors import UsageError
from pipeline.ledger import keeping, reading
from pipeline.ledger.keeping import KeptJobs
from pipeline.ledger.rows import unfetched_from
from pipeline.summary import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pipeline.instructions import Profiles
    from pipeline.profile import Profile
    from pipeline.simulator.faults import Faults


def campaign_of(target: Path, output: Path) -> Campaign:
    """Return the campaign of a manifest, which may have mistakes, or of a campaign's folder."""
    if target.is_dir():
        return Campaign(target)
    from pipeline import files  # noqa: PLC0415  # who only reads a ledger has no manifest

    return Campaign(output / files.campaign_name(target))


def status_of(campaign: Campaign) -> Status:
    """Return what the campaign's ledger says, and why the last run left videos to the next one.

    What the jobs come to is as it was at this instant; the jobs are read when somebody asks for them.
    """
    with reading.opened(campaign.ledger) as connection:
        settings, account = reading.settings(connection), reading.account(connection)
        sums, telling = keeping.sums(connection)
        before = reading.failures_before(connection, telling)
    jobs = KeptJobs(campaign.ledger.absolute(), sums, unfetched_from(settings.get("unfetched", [])), telling)
    # A run that died before its first commit has left no settings.
    name, currency = settings.get("name", campaign.folder.name), settings.get("currency")
    return Status(name, str(campaign.folder.absolute()), currency, jobs, account.max_cost, account.max_videos, before)


def title(campaign: Campaign, settings: Mapping[str, Any]) -> tuple[str, str, str | None]:
    """Return what every document begins with: the campaign's name, its absolute folder, and its currency."""
    folder = campaign.folder.absolute()
    return settings.get("name", storable(folder.name)), str(folder), settings.get("currency")


def profile_of(profiles: Profiles, settings: Mapping[str, Any]) -> Profile:
    """Return the profile of a file of the person's own, or the one that the ledger's last run had.

    Raises UsageError where there is none of that name.
    """
    from pipeline import providers  # noqa: PLC0415  # as above

    if profiles.file is not None:
        return providers.own_profile(profiles.file)
    name = settings.get("provider")
    if name is None:
        raise UsageError("the ledger does not say whose API it was: give a profile's file with --profile")
    found = profiles.named(name)
    if found is None:
        raise UsageError(f"the profile {name} is none of ours: give its file with --profile")
    return found


def storable(text: str) -> str:
    """Return a text that came from outside as a ledger can hold it: names and arguments may be no Unicode."""
    return text.encode("utf-8", "replace").decode()


def rescue_folders(campaign: Campaign, environment: Mapping[str, str]) -> tuple[Path, ...]:
    """Return the folders in which a run writes down a paid id when the ledger's own folder refuses."""
    states = environment.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")  # noqa: PTH111  # never raises
    nobodys = states.startswith("~")  # a user without a home
    return (campaign.outputs.videos, *([] if nobodys else [Path(states) / "callsheet"]))


def faults_of(path: Path) -> Faults:
    """Return the faults in a file. Raises UsageError where it cannot be read, ManifestError for its mistakes."""
    from pipeline import folder, shipped, source  # noqa: PLC0415  # as above
    from pipeline.simulator.faults import faults_from  # noqa: PLC0415

    return faults_from(folder.bytes_of(path, source.MAX_BYTES), file=str(path), schema=shipped.schema("faults"))


@contextmanager
def simulator(
    path: Path | str,
    rules: Mapping[str, Any],
    *,
    now: Callable[[], float],
    stock: bool = False,
    speed: float = 1.0,
    dialect: str | None = None,
    faults: Faults | None = None,
    key: str | None = None,
) -> Iterator[Any]:
    """Give the simulator as an ASGI application, with its jobs and its bill in the file at ``path``.

    ``dialect`` is the name of the server that it stands for; without one it is itself. ``key`` is the one
    that is accepted where a dialect wants one.
    """
    try:  # an extra, and slow to import
        from pipeline.simulator import dialects  # noqa: PLC0415
        from pipeline.simulator.app import application  # noqa: PLC0415
        from pipeline.simulator.footage import RealFootage, StockFootage  # noqa: PLC0415
        from pipeline.simulator.pace import Pace  # noqa: PLC0415
        from pipeline.simulator.service import open_simulator  # noqa: PLC0415
    except ImportError as error:
        raise UsageError(f'{error}: the simulator needs pip install "callsheet[simulator]"') from error
    footage = StockFootage if stock else RealFootage
    spoken, pace = dialects.dialect(dialect or dialects.DEFAULT), Pace(speed=speed)
    with open_simulator(
        path=path, request_schema=rules, now=now, footage=footage, pace=pace, dialect=spoken
    ) as service:
        yield application(service, faults=faults, key=key)
