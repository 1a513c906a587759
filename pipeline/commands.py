"""The verbs: one function each, plain values in and out. The only place where everything is put together.

Real clocks, real randomness and the environment come in here and nowhere else.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from random import SystemRandom
from typing import Any

from pipeline import files
from pipeline.blocking import in_threads
from pipeline.client import VideosClient
from pipeline.credential import Secret, find_key
from pipeline.decisions import Policy
from pipeline.errors import StorageError, UsageError
from pipeline.events import Renamed
from pipeline.files import Loaded
from pipeline.jobs import DOUBTFUL, Failure, Job, Spec, State
from pipeline.ledger import reading
from pipeline.ledger.lock import run_lock
from pipeline.ledger.store import SqliteLedger
from pipeline.limits import Contact, RateLimiter, Slots
from pipeline.outputs import Outputs, storage_errors
from pipeline.plan import Fate, Plan, compare
from pipeline.profile import Profile, address
from pipeline.report import Estimate, Status, estimate
from pipeline.runner import Run
from pipeline.steps import Signals, Stop, Tools
from pipeline.supervision import Progress, attended

_STRICT_RULES = "sora-request"
_EXITS = {Stop.AUTH: 4, Stop.QUOTA: 4, Stop.DOUBT: 3, Stop.CONFIG: 69, Stop.UNREACHABLE: 69}
_TIED_TO_AN_ADDRESS = DOUBTFUL - {State.HELD} | {State.SUBMITTED, State.COMPLETED}


@dataclass(frozen=True, slots=True)
class Options:
    """What a person may say beside the manifest. ``output`` holds a folder for each campaign."""

    output: Path = Path("outputs")
    variables: Mapping[str, str] = field(default_factory=dict)
    select: tuple[str, ...] = ()
    limit: int | None = None
    base_url: str | None = None
    allow_http: bool = False
    yes: bool = False


@dataclass(frozen=True, slots=True)
class Campaign:
    """A campaign's folder, and where things are in it."""

    folder: Path

    @property
    def ledger(self) -> Path:
        return self.folder / "ledger.db"

    @property
    def lock(self) -> Path:
        return self.folder / "ledger.lock"

    @property
    def simulator(self) -> Path:
        return self.folder / "simulator.db"

    @property
    def outputs(self) -> Outputs:
        return Outputs(self.folder)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A manifest held against its ledger: what a run would do, with which options it was asked, what that costs."""

    loaded: Loaded
    campaign: Campaign
    plan: Plan
    cost: Estimate
    selected: frozenset[str]
    remembered: Mapping[str, str]

    @property
    def is_new(self) -> bool:
        return not self.campaign.ledger.exists()


@dataclass(frozen=True, slots=True)
class Cleared:
    """A run that may spend: what it will do, where its requests go (None: the bundled simulator), with which key."""

    prepared: Prepared
    options: Options
    url: str | None
    key: Secret | None

    @property
    def base_url(self) -> str:
        return self.url or self.prepared.loaded.profile.base_url


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended. ``stop`` and ``failure`` say why it ended early, ``signal`` that a signal ended it."""

    status: Status
    exit_code: int
    stop: Stop | None = None
    failure: Failure | None = None
    signal: int | None = None


def validate(manifest: Path, options: Options) -> Loaded:
    """Return the checked manifest. Raises ManifestError with all of its problems."""
    return files.load(manifest, variables=options.variables)


def plan(manifest: Path, options: Options) -> Prepared:
    """Return what ``run`` would do with the same options. Needs no key and no network, and writes nothing."""
    loaded = files.load(manifest, variables=options.variables)
    campaign = Campaign(options.output / loaded.manifest.name)
    settings, jobs = _read(campaign)
    _check_provider(settings.get("provider"), loaded.profile, campaign)
    remembered = {
        name: value
        for name, value in settings.get("vars", {}).items()
        if name in loaded.manifest.variables and name not in options.variables
    }
    if remembered:
        loaded = files.load(manifest, variables={**remembered, **options.variables})
    selected = _selected(loaded.specs, options)
    missing = frozenset(job.name for job in jobs if job.state is State.DONE and not campaign.outputs.intact(job))
    compared = compare(loaded.specs, jobs, selected=selected, missing=missing)
    price = loaded.profile.price
    costs = [loaded.profile.cost(item.spec.request) for item in compared.of(Fate.SUBMIT) if item.spec]
    return Prepared(
        loaded, campaign, compared, estimate(costs, price.currency if price else None), selected, remembered
    )


def status(target: Path, options: Options) -> Status:
    """Return what the ledger of a manifest, or of a campaign's folder, says. Raises LedgerError where there is none."""
    campaign = Campaign(target if target.is_dir() else options.output / files.campaign_name(target))
    return _status(campaign)


def clear(manifest: Path, options: Options, *, confirm: Callable[[Prepared], bool]) -> Cleared:
    """Return a run that may spend. ``confirm`` is asked before the first spending of a new campaign.

    Raises CallsheetError, with nothing spent and nothing written, for a wrong manifest, an address that must not be
    used, a missing key (which is needed only where there is work), and a spending that nobody confirmed.
    """
    prepared = plan(manifest, options)
    profile = prepared.loaded.profile
    url = address(profile, _override(profile, options), allow_http=options.allow_http)
    key = None
    if prepared.plan.has_work:
        key = find_key(profile.auth, os.environ)
        free = prepared.cost.cost == 0 and prepared.cost.unknown_price_jobs == 0
        if prepared.is_new and not (free or options.yes or confirm(prepared)):
            raise UsageError("spending was not confirmed; nothing was sent. Confirm with --yes")
    return Cleared(prepared, options, url, key)


async def run(cleared: Cleared, *, progress: Progress) -> Ended:
    """Carry out the plan, and whatever an earlier run left unfinished. Running again is resuming.

    Raises CallsheetError, with everything paid on record, when another run holds the campaign, when unfinished jobs
    belong to another address or key, and when the disk or the ledger fails.
    """
    campaign = cleared.prepared.campaign
    with storage_errors(campaign.folder):
        campaign.folder.mkdir(parents=True, exist_ok=True)
    with run_lock(campaign.lock):
        if not campaign.ledger.exists() and campaign.outputs.holds_videos():
            raise StorageError(
                f"{campaign.folder} holds videos and no ledger: running would pay for them again. "
                "Bring ledger.db back, or choose another --output"
            )
        blocking = in_threads(1)
        ledger = SqliteLedger.create_or_open(campaign.ledger, now=time.time, blocking=blocking)
        try:
            return await _run(cleared, ledger, progress)
        finally:
            ledger.close()


async def _run(cleared: Cleared, ledger: SqliteLedger, progress: Progress) -> Ended:
    prepared, campaign, key = cleared.prepared, cleared.prepared.campaign, cleared.key
    profile, limits = prepared.loaded.profile, prepared.loaded.limits
    _check_address(_read(campaign)[1], cleared.base_url, key)
    await _enrol(ledger, prepared, cleared.options)
    progress.started(_status(campaign))
    signals = Signals(Contact())
    if not prepared.plan.has_work:
        return _ended(_status(campaign), signals, prepared.selected, None)
    rules = files.schema(profile.request.schema.removesuffix(".schema.json"))
    bundled = _simulator(campaign.simulator, rules) if cleared.url is None else nullcontext()
    with bundled as app:
        async with VideosClient(cleared.base_url, key=key, downloads=limits.downloads, app=app) as client:
            tools = Tools(
                client=client,
                outputs=campaign.outputs,
                profile=profile,
                submits=RateLimiter(limits.requests_per_minute / 60),
                polls=RateLimiter(limits.polls_per_second),
                signals=signals,
                key_fingerprint=key.fingerprint if key else None,
                now=time.time,
                rng=SystemRandom(),
                blocking=in_threads(limits.downloads),
            )
            work = Run(
                ledger=ledger,
                tools=tools,
                slots=Slots(limits.max_in_flight),
                policy=Policy(replay=profile.abilities.idempotency),
                wanted=lambda job: job.name in prepared.selected,
                observe=progress.observe,
            )
            received = await attended(work, signals, progress)
    return _ended(_status(campaign), signals, prepared.selected, received)


async def simulate(*, port: int, state: Path | None, stock: bool, speed: float, started: Callable[[str], None]) -> None:
    """Serve the simulator on a loopback port until a signal. ``started`` is called with its address."""
    rules = files.schema(_STRICT_RULES)
    with _simulator(state or ":memory:", rules, stock=stock, speed=speed) as app:
        from pipeline.simulator.server import serve  # noqa: PLC0415  # an extra, and slow to import

        await serve(app, port=port, started=started)


def schema_text(name: str) -> str:
    """Return a JSON Schema of ``schemas/`` by its short name, as it is on disk."""
    return files.schema_text(name)


def _override(profile: Profile, options: Options) -> str | None:
    variable = f"CALLSHEET_{profile.name.upper().replace('-', '_')}_BASE_URL"
    return options.base_url or os.environ.get(variable) or None


def _check_provider(before: str | None, profile: Profile, campaign: Campaign) -> None:
    """Refuse to mix simulated videos with real ones: a job that is done is done wherever it was rendered."""
    if before is None or before == profile.name or before not in files.profile_names():
        return
    if "bundled" in {profile.transport, files.profile(before).transport}:
        raise UsageError(
            f"{campaign.folder} was rendered by {before}, and simulated videos are not mixed with real ones: "
            "give the manifest another name, or choose another --output"
        )


def _check_address(jobs: tuple[Job, ...], url: str, key: Secret | None) -> None:
    """Refuse to ask one server, or one account, for what another one was paid for: all of it would look lost."""
    for job in jobs:
        if job.state not in _TIED_TO_AN_ADDRESS:
            continue
        if job.base_url != url:
            raise UsageError(f"{job.name} was submitted to {job.base_url}, not to {url}: finish it there first")
        if key is not None and job.key_fingerprint != key.fingerprint:
            raise UsageError(f"{job.name} was paid with another key: finish it with that one first")


@contextmanager
def _simulator(path: Path | str, rules: Mapping[str, Any], *, stock: bool = False, speed: float = 1.0) -> Iterator[Any]:
    """Give the simulator as an ASGI application, with its jobs and its bill in the file at ``path``."""
    try:  # an extra, and slow to import
        from pipeline.simulator.app import application  # noqa: PLC0415
        from pipeline.simulator.footage import RealFootage, StockFootage  # noqa: PLC0415
        from pipeline.simulator.pace import Pace  # noqa: PLC0415
        from pipeline.simulator.service import open_simulator  # noqa: PLC0415
    except ImportError as error:
        raise UsageError(f'{error}: the simulator needs pip install "callsheet[simulator]"') from error
    footage = StockFootage if stock else RealFootage
    with open_simulator(
        path=path, request_schema=rules, now=time.time, footage=footage, pace=Pace(speed=speed)
    ) as service:
        yield application(service)


async def _enrol(ledger: SqliteLedger, prepared: Prepared, options: Options) -> None:
    """Make the ledger hold what the manifest asks for; what only has a new name keeps its video."""
    loaded, outputs = prepared.loaded, prepared.campaign.outputs
    for renaming in prepared.plan.renamings:
        job, spec = renaming.job, renaming.spec
        path = outputs.rename(job, spec.output)
        await ledger.record(job, Renamed(name=spec.name, output=spec.output, path=path))
    price = loaded.profile.price
    settings = {
        "name": loaded.manifest.name,
        "provider": loaded.profile.name,
        "currency": price.currency if price else None,
        "vars": {**prepared.remembered, **options.variables},
    }
    await ledger.enrol(loaded.specs, settings=settings)


def _ended(status: Status, signals: Signals, selected: frozenset[str], received: int | None) -> Ended:
    code = status.exit_code(selected)
    if signals.stop is not None:
        code = _EXITS[signals.stop]
    if received is not None:
        code = 128 + received
    return Ended(status, code, signals.stop, signals.failure, received)


def _status(campaign: Campaign) -> Status:
    with reading.opened(campaign.ledger) as connection:
        settings, jobs = reading.settings(connection), tuple(reading.jobs(connection))
    # A run that died before its first commit has left no settings.
    name, currency = settings.get("name", campaign.folder.name), settings.get("currency")
    return Status(name, str(campaign.folder.absolute()), currency, jobs)


def _read(campaign: Campaign) -> tuple[Mapping[str, Any], tuple[Job, ...]]:
    if not campaign.ledger.exists():
        return {}, ()
    with reading.opened(campaign.ledger) as connection:
        return reading.settings(connection), tuple(reading.jobs(connection))


def _selected(specs: Sequence[Spec], options: Options) -> frozenset[str]:
    """Return the names that may be submitted: those that fit any ``--select``, the first ``--limit`` of them."""
    chosen = [spec.name for spec in specs if not options.select or any(_fits(spec, word) for word in options.select)]
    return frozenset(chosen[: options.limit])


def _fits(spec: Spec, word: str) -> bool:
    kind, _, tag = word.partition(":")
    return (
        tag in spec.tags
        if kind == "tag"
        else fnmatchcase(spec.name, word) or fnmatchcase(spec.name.partition("#")[0], word)
    )
