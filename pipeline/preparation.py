"""What comes before a run: the manifest held against its ledger, and everything that can refuse to spend.

Reads the manifest, the ledger and the disk; writes nothing and asks no server.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import partial
from heapq import nsmallest
from pathlib import Path
from typing import Any

from pipeline import files
from pipeline.breakers import Tolerance
from pipeline.credential import Secret, find_key
from pipeline.decisions import may_be_sent_again
from pipeline.errors import UsageError
from pipeline.files import Loaded
from pipeline.images import Image
from pipeline.inputs import Inputs
from pipeline.jobs import DOUBTFUL, Job, Spec, State
from pipeline.ledger import reading
from pipeline.network import Network
from pipeline.outputs import Outputs
from pipeline.plan import Fate, Plan, compare
from pipeline.policies import policy
from pipeline.profile import Price, Profile, address
from pipeline.providers import Profiles
from pipeline.summary import Estimate, estimate


@dataclass(frozen=True, slots=True)
class Options:
    """What a person may say beside the manifest. ``output`` holds a folder for each campaign.

    ``profiles`` are the profiles that there are, ``network`` is what is between here and the servers, ``grace`` the
    seconds that a signal leaves to what is in flight. ``same_account``: another key is of the same account.
    """

    output: Path = Path("outputs")
    variables: Mapping[str, str] = field(default_factory=dict)
    select: tuple[str, ...] = ()
    limit: int | None = None
    sample: int | None = None
    seed: int = 0
    base_url: str | None = None
    allow_http: bool = False
    same_account: bool = False
    yes: bool = False
    profiles: Profiles = field(default_factory=Profiles)
    network: Network = field(default_factory=Network)
    no_submit: bool = False
    resubmit_absent: bool = False
    max_cost: float | None = None
    price: float | None = None
    takeover: bool = False
    grace: float = 25.0
    tolerance: Tolerance | None = None


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

    @property
    def inputs(self) -> Inputs:
        return Inputs(self.folder)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A manifest held against its ledger: what a run would do, with which options it was asked, what that costs."""

    loaded: Loaded
    campaign: Campaign
    plan: Plan
    cost: Estimate
    selected: frozenset[str]
    remembered: Mapping[str, str]
    rebuilt: bool
    max_cost: float | None = None

    @property
    def wants_confirmation(self) -> bool:
        """Whether this campaign has cost nothing yet, as far as its ledger knows it all, and would now."""
        jobs = [item.job for item in self.plan.items if item.job is not None]
        free = self.cost.cost == 0 and self.cost.unknown_price_jobs == 0
        return not free and (self.rebuilt or not any(job.attempt > 0 and job.price != 0 for job in jobs))


@dataclass(frozen=True, slots=True)
class Cleared:
    """A run that may spend: what it will do, where its requests go (None: the bundled simulator), with which key."""

    prepared: Prepared
    options: Options
    url: str | None
    key: Secret | None

    @property
    def base_url(self) -> str:
        return self.url or self.prepared.loaded.profile.base_url or ""


def prepare(manifest: Path, options: Options) -> Prepared:
    """Return what ``run`` would do with the same options. Needs no key and no network, and writes nothing."""
    remembered = remembering(options)
    loaded = files.load(manifest, variables=options.variables, profiles=options.profiles, remembered=remembered)
    campaign = Campaign(options.output / loaded.manifest.name)
    settings = _settings(campaign)
    _check_provider(settings.get("provider"), loaded.profile, options.profiles, campaign)
    price = _price(loaded, options)
    loaded = replace(loaded, profile=replace(loaded.profile, price=price))
    selected = selection(loaded.specs, options)
    plan = compared(campaign, loaded, selected)
    costs = [loaded.profile.cost(item.spec.request) for item in plan.of(Fate.SUBMIT) if item.spec]
    cost = estimate(costs, price.currency if price else None)
    max_cost = loaded.manifest.budget.get("max_cost") if options.max_cost is None else options.max_cost
    kept, rebuilt = loaded.manifest.remembered, settings.get("rebuilt", False)
    return Prepared(loaded, campaign, plan, cost, selected, kept, rebuilt, max_cost)


def remembering(options: Options) -> files.Remembered:
    """Return what gives the variables that the ledger of a campaign remembers."""

    def remembered(name: str) -> Mapping[str, str]:
        return dict(_settings(Campaign(options.output / name)).get("vars", {}))

    return remembered


def _price(loaded: Loaded, options: Options) -> Price | None:
    """Return the profile's prices, or the one for all models that a person gave."""
    price = loaded.profile.price
    if options.price is None:
        return price
    currency = loaded.manifest.budget.get("currency", price.currency if price else "USD")
    return Price(currency, otherwise=options.price)


def clear(
    manifest: Path, options: Options, environment: Mapping[str, str], *, confirm: Callable[[Prepared], bool]
) -> Cleared:
    """Return a run that may spend. ``confirm`` is asked before the first spending of a new campaign.

    Raises CallsheetError, with nothing spent and nothing written, for a wrong manifest, an address, a proxy or
    certificates that must not or cannot be used, a missing key (which is needed only where there is work), and a
    spending that nobody confirmed.
    """
    prepared = prepare(manifest, options)
    profile = prepared.loaded.profile
    url = address(profile, options.base_url, environment, allow_http=options.allow_http)
    key = None
    if prepared.plan.has_work:
        if prepared.max_cost is not None and prepared.cost.unknown_price_jobs:
            what = "the manifest's budget" if options.max_cost is None else "--max-cost"
            raise UsageError(
                f"{what} cannot hold: the profile {profile.name} has no price for what would be sent. "
                "Give it with --price, per second of video"
            )
        key = find_key(profile.auth, environment)
        options.network.check(url, carries_key=key is not None and not options.allow_http)
        if prepared.wants_confirmation and not (options.yes or confirm(prepared)):
            raise UsageError("spending was not confirmed; nothing was sent. Confirm with --yes")
    return Cleared(prepared, options, url, key)


def selection(specs: Sequence[Spec], options: Options) -> frozenset[str]:
    """Return the names that may be submitted: enabled, fit for a ``--select``, in the ``--sample``, up to ``--limit``.

    A sample depends on the seed and the names alone: what is drawn stays drawn when other jobs come or go, but for
    those that are drawn in its place.
    """
    for word in options.select:
        if not any(fits(spec, word) for spec in specs):
            raise UsageError(f"--select {word!r} fits no job")
    if options.no_submit:
        return frozenset()
    chosen = [
        spec.name
        for spec in specs
        if spec.enabled and (not options.select or any(fits(spec, word) for word in options.select))
    ]
    if options.sample is not None and options.sample < len(chosen):
        drawn = frozenset(nsmallest(options.sample, chosen, key=partial(_lot, options.seed)))
        chosen = [name for name in chosen if name in drawn]
    return frozenset(chosen[: options.limit])


def _lot(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed}:{name}".encode()).digest()


def fits(spec: Spec | Job, word: str) -> bool:
    """Tell whether a word of ``--select``, a pattern of names or ``tag:`` and a tag, means this job."""
    kind, _, tag = word.partition(":")
    return (
        tag in spec.tags
        if kind == "tag"
        else fnmatchcase(spec.name, word) or fnmatchcase(spec.name.partition("#")[0], word)
    )


def compared(campaign: Campaign, loaded: Loaded, selected: frozenset[str]) -> Plan:
    """Return what a run would do, by the ledger as it is now."""
    _, jobs = read_ledger(campaign)
    outputs = campaign.outputs
    missing = [job for job in jobs if job.state is State.DONE and not outputs.intact(job)]
    back = [job for job in jobs if job.state in {State.EXPIRED, State.LOST} and job.sha256 and outputs.intact(job)]
    return compare(
        loaded.specs,
        jobs,
        selected=selected,
        missing=_keys(missing),
        back=_keys(back),
        again=partial(may_be_sent_again, policy(loaded.profile, retry=loaded.manifest.retry)),
        listing=loaded.profile.abilities.list,
    )


def wanted_images(prepared: Prepared) -> tuple[Image, ...]:
    """Return, each once, the images of the jobs that a run may submit: new ones, and those that are in doubt."""
    plan, images = prepared.plan, prepared.loaded.images
    if not plan.has_work:
        return ()
    may_be_sent = [
        item.spec.request.get("input_reference")
        for item in plan.items
        if item.spec and item.name in prepared.selected
        if item.fate is Fate.SUBMIT or (item.job and item.job.state in DOUBTFUL)
    ]
    wanted = dict.fromkeys(reference["sha256"] for reference in may_be_sent if isinstance(reference, Mapping))
    return tuple(images[sha256] for sha256 in wanted if sha256 in images)


def _keys(jobs: Iterable[Job]) -> frozenset[tuple[str, str]]:
    return frozenset((job.name, job.request_hash) for job in jobs)


def _check_provider(before: str | None, profile: Profile, profiles: Profiles, campaign: Campaign) -> None:
    """Refuse to mix simulated videos with real ones: a job that is done is done wherever it was rendered."""
    earlier = None if before is None or before == profile.name else profiles.named(before)
    if earlier is not None and "bundled" in {profile.transport, earlier.transport}:
        raise UsageError(
            f"{campaign.folder} was rendered by {before}, and simulated videos are not mixed with real ones: "
            "give the manifest another name, or choose another --output"
        )


def check_address(plan: Plan, url: str, key: Secret | None, *, listing: bool, same_account: bool) -> None:
    """Refuse to ask one server, or one account, for what another one was paid for: all of it would look lost.

    ``listing``: what is held is looked for too. ``same_account``: a person says that another key is of the same one.
    """
    for item in plan.of(Fate.CONTINUE, Fate.DECIDE):
        job = item.job
        if job is None or (job.state is State.HELD and not listing):
            continue
        if job.base_url != url:
            raise UsageError(f"{job.name} was submitted to {job.base_url}, not to {url}: finish it there first")
        if job.key_fingerprint != (key.fingerprint if key else None) and not same_account:
            raise UsageError(
                f"{job.name} was paid with another key: finish it with that one first, "
                "or say with --same-account that both are keys of one account"
            )


def _settings(campaign: Campaign) -> Mapping[str, Any]:
    if not campaign.ledger.exists():
        return {}
    with reading.opened(campaign.ledger) as connection:
        return reading.settings(connection)


def read_ledger(campaign: Campaign) -> tuple[Mapping[str, Any], tuple[Job, ...]]:
    """Return the settings and the jobs of a campaign's ledger; nothing where there is none yet."""
    if not campaign.ledger.exists():
        return {}, ()
    with reading.opened(campaign.ledger) as connection:
        return reading.settings(connection), tuple(reading.jobs(connection))
