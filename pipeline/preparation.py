"""What comes before a run: the manifest held against its ledger, what that costs, and how long it takes.

Reads the manifest, the ledger and the disk; writes nothing and asks no server.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from math import inf
from typing import Any

from pipeline import files
from pipeline.campaign import Campaign
from pipeline.checking import remembering, selection
from pipeline.costs import Account, Agreed, Estimate, Kind, Priced, estimate, summed
from pipeline.decisions import may_be_sent_again
from pipeline.errors import UsageError
from pipeline.files import Loaded, Source
from pipeline.images import Image
from pipeline.instructions import Options, Profiles
from pipeline.jobs import DOUBTFUL, GONE, State
from pipeline.judging import Findings, compare
from pipeline.ledger import reading
from pipeline.ledger.keeping import KeptJobs, sums
from pipeline.pairing import Seen
from pipeline.plan import Fate, Item, Items, Key, Plan
from pipeline.policies import policy
from pipeline.profile import Price, Profile
from pipeline.summary import Status, Sums
from pipeline.timing import Forecast, forecast, learned


@dataclass(frozen=True, slots=True)
class Record:
    """What a campaign's ledger says, and which of its files are there; nothing where there is no ledger yet.

    What equals an earlier one says the same: ``mark`` becomes another with whatever anybody writes to the ledger.
    ``sums`` are what its jobs come to, ``at_server`` of which kinds those are that render there, ``findings`` what else
    there is to know of some. ``words`` says how many approvals jobs had when a person spoke last.
    """

    mark: reading.Mark = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    sums: Sums = field(default_factory=lambda: Sums({}, {}))
    at_server: tuple[Kind, ...] = ()
    account: Account = field(default_factory=Account)
    findings: Findings = field(default_factory=Findings)
    words: Mapping[Key, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, repr=False)  # asyncio spells out what a task has returned: of a million jobs
class Prepared:
    """A manifest held against its ledger: what a run would do, what that costs, and how long it takes.

    ``priced`` is what is submitted, in its order. ``account`` has the budget of this run. ``agreed`` is what people
    have agreed to so far. ``address`` is where requests go: None for the bundled simulator, and as long as nobody has
    said it.
    """

    loaded: Loaded
    campaign: Campaign
    plan: Plan
    cost: Estimate
    selected: frozenset[str]
    remembered: Mapping[str, str]
    record: Record = Record()
    priced: Sequence[Priced] = ()
    account: Account = field(default_factory=Account)
    forecast: Forecast | None = None
    address: str | None = None

    @property
    def status(self) -> Status:
        """Where the campaign stands before the run."""
        return Status(
            self.loaded.manifest.name,
            str(self.campaign.folder.absolute()),
            self.cost.currency,
            KeptJobs(self.campaign.ledger, self.record.sums, {}),
            self.account.max_cost,
            self.account.max_videos,
        )

    @property
    def agreed(self) -> Agreed:
        """What has been agreed to before, as far as it is spent or its jobs are still asked for."""
        before = Agreed(*self.record.settings.get("agreed", ()))
        if before == Agreed():  # as in a ledger for which nobody was asked, however many jobs it has
            return before
        known = (item.request or {} for item in self.plan.items if item.state and item.spec and _is_to_do(item))
        return before.at_most(Agreed.to(self.account, estimate(known, self.loaded.profile.cost, self.cost.currency)))

    @property
    def asks_for(self) -> Agreed:
        """What has to be agreed to: all that was promised before, and all that would be now within the budget."""
        return Agreed.to(self.account, summed(islice(self.priced, self.held), self.cost.currency))

    @property
    def held(self) -> int:
        """How many of the new attempts the budget holds."""
        return self.account.holds(price for _, price in self.priced) if self.account.is_bounded else len(self.priced)

    @property
    def requests_per_minute(self) -> float:
        """How fast jobs are submitted: by the limits, or by what the server taught an earlier run."""
        return _rate(self.loaded, self.record)

    def price(self, item: Item) -> float | None:
        """Return what submitting the job costs, or None where nobody knows it."""
        return self.loaded.profile.cost(item.request or {})

    def goes_beyond(self, agreed: Agreed, ask_above: float) -> bool:
        """Whether more would be spent than was agreed to, by more than ``ask_above``, or nobody knows how much."""
        unknown = self.cost.unknown_price_jobs > 0
        return not self.cost.is_free and not agreed.covers(self.asks_for, and_above=ask_above, unknown=unknown)


def prepare(manifest: Source, options: Options) -> Prepared:
    """Return what ``run`` would do with the same options. Needs no key and no network, and writes nothing."""
    remembered = remembering(options)
    loaded = files.load(manifest, variables=options.variables, profiles=options.profiles, remembered=remembered)
    campaign = Campaign(options.output / loaded.manifest.name)
    record = read_ledger(campaign)
    _check_provider(record.settings.get("provider"), loaded.profile, options.profiles, campaign)
    price = _price(loaded, options)
    loaded = replace(loaded, profile=replace(loaded.profile, price=price))
    unspent = Estimate(price.currency if price else None)
    prepared = Prepared(
        loaded, campaign, Plan(Items(), ()), unspent, selection(loaded.specs, options), loaded.manifest.remembered
    )
    prepared = held_against(record, prepared, options)
    return replace(prepared, forecast=_forecast(prepared))


def held_against(record: Record, prepared: Prepared, options: Options) -> Prepared:
    """Return what would be done, and what it costs, where the ledger says this."""
    loaded = prepared.loaded
    plan = compared(prepared.campaign, loaded, prepared.selected, record)
    kinds: dict[Priced, Priced] = {}  # there are few, and many jobs of each

    def priced(item: Item) -> Priced:
        found = Kind.of(item.request or {}), prepared.price(item)
        return kinds.setdefault(found, found)

    jobs = plan.submissions.each(priced)
    account = record.account._replace(**_budget(loaded, options))
    cost = summed(jobs, prepared.cost.currency)
    return replace(prepared, plan=plan, cost=cost, record=record, priced=jobs, account=account)


def _is_to_do(item: Item) -> bool:
    return item.fate is Fate.SUBMIT or item.state is State.PLANNED


def _budget(loaded: Loaded, options: Options) -> dict[str, Any]:
    """Return the most that the campaign may cost, and have of videos: the options go before the manifest."""
    given = {"max_cost": options.max_cost, "max_videos": options.max_videos}
    return {name: loaded.manifest.budget.get(name) if value is None else value for name, value in given.items()}


def _forecast(prepared: Prepared) -> Forecast:
    campaign, loaded, record = prepared.campaign, prepared.loaded, prepared.record
    seen: list[tuple[Kind, float]] = []
    if campaign.ledger.exists():
        with reading.opened(campaign.ledger) as connection:
            seen = reading.render_times(connection)
    return forecast(
        [kind for kind, _ in prepared.priced],
        record.at_server,
        learned(seen),
        requests_per_minute=_rate(loaded, record),
        max_in_flight=loaded.limits.max_in_flight,
    )


def _rate(loaded: Loaded, record: Record) -> float:
    """Return how many jobs are submitted in a minute."""
    learned_rate: float = record.settings.get("learned_rate", inf)
    return min(loaded.limits.requests_per_minute, 60 * learned_rate)


_AT_SERVER = DOUBTFUL - {State.HELD} | {State.SUBMITTED}


def _price(loaded: Loaded, options: Options) -> Price | None:
    """Return the profile's prices, or the one for all models that a person gave."""
    price = loaded.profile.price
    if options.price is None:
        return price
    currency = loaded.manifest.budget.get("currency", price.currency if price else "USD")
    return Price(currency, otherwise=options.price)


def compared(campaign: Campaign, loaded: Loaded, selected: frozenset[str], record: Record) -> Plan:
    """Return what a run would do, by the ledger as it is."""
    compared_with = partial(
        compare,
        loaded.specs,
        selected=selected,
        again=partial(may_be_sent_again, policy(loaded.profile, retry=loaded.manifest.retry)),
        listing=loaded.profile.abilities.list,
    )
    if not campaign.ledger.exists():
        return compared_with(())
    with reading.opened(campaign.ledger) as connection, reading.at_one_instant(connection) as jobs:
        return compared_with(jobs, findings=record.findings)


def wanted_images(prepared: Prepared) -> tuple[Image, ...]:
    """Return, each once, the images of the jobs that a run may submit: new ones, and those that are in doubt."""
    plan, images = prepared.plan, prepared.loaded.images
    if not images or not plan.has_work:
        return ()
    may_be_sent = (
        item.spec.request.get("input_reference")
        for item in plan.items
        if item.spec and item.name in prepared.selected
        if item.fate is Fate.SUBMIT or item.state in DOUBTFUL
    )
    wanted = dict.fromkeys(reference["sha256"] for reference in may_be_sent if isinstance(reference, Mapping))
    return tuple(images[sha256] for sha256 in wanted if sha256 in images)


def _keys(jobs: Iterable[Seen]) -> frozenset[Key]:
    return frozenset((job.name, job.request_hash) for job in jobs)


def _check_provider(before: str | None, profile: Profile, profiles: Profiles, campaign: Campaign) -> None:
    """Refuse to mix simulated videos with real ones: a job that is done is done wherever it was rendered."""
    earlier = None if before is None or before == profile.name else profiles.named(before)
    if earlier is not None and "bundled" in {profile.transport, earlier.transport}:
        raise UsageError(
            f"{campaign.folder} was rendered by {before}, and simulated videos are not mixed with real ones: "
            "give the manifest another name, or choose another --output"
        )


def read_ledger(campaign: Campaign) -> Record:
    """Return what a campaign's ledger and files say; nothing where there is no ledger yet."""
    if not campaign.ledger.exists():
        return Record()
    mark, outputs = reading.mark(campaign.ledger), campaign.outputs
    with reading.opened(campaign.ledger) as connection:
        at_server = tuple(Kind.of(job.request) for job in reading.jobs(connection, _AT_SERVER))
        missing = [line for line in reading.lines_among(connection, {State.DONE}) if not outputs.intact(line)]
        damaged = [line for line in missing if outputs.is_there(line)]
        back = [job for job in reading.jobs(connection, GONE) if job.sha256 and outputs.intact(job)]
        found = Findings(_keys(missing), _keys(damaged), _keys(back), reading.last_events(connection))
        (known, _), account, words = sums(connection), reading.account(connection), reading.words_of_people(connection)
        return Record(mark, reading.settings(connection), known, at_server, account, found, words)
