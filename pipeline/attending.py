"""A run with all who are told of it: people, and files beside it. And a look at the first videos before the rest."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import anyio
from rich.console import Console

from pipeline import commands, plans
from pipeline.breakers import Stop
from pipeline.clearing import Cleared, agreed_to_more
from pipeline.commands import Ended
from pipeline.credential import Censor
from pipeline.errors import UsageError
from pipeline.journal import Journal
from pipeline.logbook import Logbook
from pipeline.metering import Meter
from pipeline.onlookers import Progress, Several
from pipeline.progress import progress_on
from pipeline.replies import ask, on_a_terminal
from pipeline.supervision import ENDING
from pipeline.trial import trial


@dataclass(frozen=True, slots=True)
class Told:
    """Who is told of a run: people, in a mode of ``progress_on``; and files."""

    mode: str = "auto"
    events: Path | None = None
    log: Path | None = None
    metrics: Path | None = None


def run(console: Console, cleared: Cleared, told: Told, *, canary: int | None) -> Ended:
    """Run what is cleared, and tell of it. With a ``canary``: first so many, and the rest when a person says so."""
    first = None if canary is None else trial(cleared, canary)
    if first is not None:
        end = _run(console, first.first, told)
        if end.stop or end.signal or not first.went_well(end.status):
            return end
        plans.canary(console, end, first)
        if not (on_a_terminal() and ask("Render the rest?")):
            return commands.stopped(end, Stop.CANARY)
        cleared = agreed_to_more(cleared, first.cost)
    return _run(console, cleared, told)


def _run(console: Console, cleared: Cleared, told: Told) -> Ended:
    with _audience(console, cleared, told) as progress:
        return anyio.run(partial(commands.run, cleared, progress=progress, ending=ENDING))


@contextmanager
def _audience(console: Console, cleared: Cleared, told: Told) -> Iterator[Progress]:
    """Give all who are told. Raises UsageError for a file that cannot be written: before anything is spent."""
    paths = [path for path in (told.events, told.log, told.metrics) if path is not None]
    for path in paths:
        cleared.prepared.campaign.refuse_its_own(path)
    if len({path.resolve() for path in paths}) < len(paths):
        raise UsageError("--events, --log and --metrics need a file each")
    with progress_on(console, told.mode) as people:
        members = [people]
        if told.events is not None:
            members.append(Journal(told.events, complain=people.note))
        if told.log is not None:
            censor = Censor(cleared.key, cleared.options.network.password)
            members.append(Logbook(told.log, censor=censor, facts=_facts(cleared), complain=people.note))
        if told.metrics is not None:
            members.append(Meter(told.metrics, complain=people.note))
        yield Several(*members)


def _facts(cleared: Cleared) -> dict[str, Any]:
    """Return what was asked for, for support. A proxy's address may have a password, so only that there is one."""
    prepared, options = cleared.prepared, cleared.options
    loaded, limits = prepared.loaded, prepared.loaded.limits
    chosen = {
        "select": ",".join(options.select) or None,
        "limit": options.limit,
        "sample": options.sample,
        "no_submit": options.no_submit or None,
        "resubmit_absent": options.resubmit_absent or None,
        "takeover": options.takeover or None,
        "max_failures": options.tolerance,
        "proxy": options.network.proxy and "yes",
        "ca_file": options.network.ca_file,
    }
    return {
        "manifest": loaded.manifest.name,
        "provider": loaded.profile.name,
        "address": cleared.base_url or "in this process",
        "key": cleared.key.fingerprint if cleared.key else "none",
        "requests_per_minute": limits.requests_per_minute,
        "max_in_flight": limits.max_in_flight,
        "polls_per_second": limits.polls_per_second,
        "downloads_at_once": limits.downloads,
        "max_cost": prepared.account.max_cost,
        **chosen,
    }
