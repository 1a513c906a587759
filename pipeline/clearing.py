"""What can refuse to spend: an address, a key, a budget, a saved plan that is another by now, a person who is asked.

Nothing is written and nothing is sent before all of it has passed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from pipeline import planfiles
from pipeline.costs import Agreed, Estimate
from pipeline.credential import Secret, find_key
from pipeline.errors import UsageError
from pipeline.instructions import Options
from pipeline.jobs import State
from pipeline.ledger import reading
from pipeline.origins import places
from pipeline.plan import Fate, Plan
from pipeline.preparation import Prepared, held_against, read_ledger
from pipeline.profile import address
from pipeline.saved import Difference, Saved, StalePlan, differences, saved_jobs, terms


@dataclass(frozen=True, slots=True)
class Cleared:
    """A run that may spend: what it will do, where its requests go (None: the bundled simulator), with which key.

    ``agreed`` is what people have agreed to, this time included. ``unasked``: nobody was there, and a budget bounds it.
    """

    prepared: Prepared
    options: Options
    url: str | None
    key: Secret | None
    agreed: Agreed = field(default_factory=Agreed)
    unasked: bool = False

    @property
    def base_url(self) -> str:
        return self.url or self.prepared.loaded.profile.base_url or ""


def clear(
    prepared: Prepared,
    options: Options,
    environment: Mapping[str, str],
    *,
    confirm: Callable[[Prepared], bool | None],
) -> Cleared:
    """Return what is prepared as a run that may spend. ``confirm`` is asked before more is spent than was agreed to.

    It returns None where there is nobody to ask: then a budget or a saved plan has to say it, or ``--yes``. Raises
    CallsheetError, with nothing spent and nothing written, for an address, a proxy or certificates that must not or
    cannot be used, a missing key (which is needed only where there is work), a saved plan that is
    another by now, and a spending that nobody confirmed.
    """
    profile = prepared.loaded.profile
    url = address(profile, options.base_url, environment, allow_http=options.allow_http)
    prepared = replace(prepared, address=url)
    key, agreed, unasked = None, prepared.agreed, False
    if options.plan is not None:
        check_plan(options.plan, prepared, options)
        prepared = replace(prepared, selected=options.plan.names)
    if prepared.plan.has_work:
        _check_budget(prepared, options)
        key = find_key(profile.auth, environment)
        options.network.check(url, carries_key=key is not None and not options.allow_http)
        answer = _agreed(prepared, options, confirm)
        unasked = answer is None
        if answer:
            agreed = agreed.and_to(prepared.asks_for)
    return Cleared(prepared, options, url, key, agreed, unasked)


def agreed_to_more(cleared: Cleared, more: Estimate) -> Cleared:
    """Return the run as somebody has just agreed to it: whatever is spent by now, and so much more."""
    with reading.opened(cleared.prepared.campaign.ledger) as connection:
        account = reading.account(connection)
    return replace(cleared, agreed=cleared.agreed.and_to(Agreed.to(account, more)))


def looked_again(cleared: Cleared) -> Cleared:
    """Return the run by ledger and files as they are now, under the lock: they may be others since a person was asked.

    Raises StalePlan for a saved plan that is another by now, and UsageError where more would be spent than was agreed
    to. With ``--yes`` whatever would be spent is.
    """
    options, prepared, agreed = cleared.options, cleared.prepared, cleared.agreed
    record = read_ledger(prepared.campaign)
    if record != prepared.record or prepared.selected != prepared.plan.selected:
        prepared = held_against(record, prepared, options)
    if options.plan is not None:
        check_plan(options.plan, prepared, options)
    if options.yes:
        agreed = agreed if prepared.cost.is_free else agreed.and_to(prepared.asks_for)
    elif not cleared.unasked and prepared.plan.has_work and prepared.goes_beyond(agreed, options.ask_above):
        raise UsageError("the ledger has changed since you were asked, and more would be spent; nothing was sent")
    if prepared.plan.has_work and not cleared.prepared.plan.has_work:  # so neither key nor budget was looked at
        raise UsageError("the ledger has changed, and there is work now; nothing was sent. Run it again")
    return replace(cleared, prepared=prepared, agreed=agreed)


def _check_budget(prepared: Prepared, options: Options) -> None:
    if prepared.account.max_cost is not None and prepared.cost.unknown_price_jobs:
        what = "the manifest's budget" if options.max_cost is None else "--max-cost"
        raise UsageError(
            f"{what} cannot hold: the profile {prepared.loaded.profile.name} has no price for what would be sent. "
            "Give it with --price, per second of video, or bound the number of videos instead: "
            "budget: { max_videos: N }, or --max-videos N"
        )


def _agreed(prepared: Prepared, options: Options, confirm: Callable[[Prepared], bool | None]) -> bool | None:
    """Return whether somebody agreed to this spending just now; None where nobody was there, and a budget bounds it.

    Raises UsageError where nobody did who had to.

    What was agreed to before is not asked for again, so a run that goes on after a crash asks nobody.
    """
    if options.yes or options.plan is not None:
        return not prepared.cost.is_free
    if not prepared.goes_beyond(prepared.agreed, options.ask_above):
        return False
    answer = confirm(prepared)
    if answer is None and prepared.account.is_bounded:
        return None
    if answer is None:
        raise UsageError(
            "spending was not confirmed, and nobody is at a terminal to be asked; nothing was sent. Add --yes, or a "
            "bound, --max-cost N or --max-videos N (in the manifest: budget), or a plan that was looked at: --plan FILE"
        )
    if not answer:
        raise UsageError("spending was not confirmed; nothing was sent. Confirm with --yes")
    return True


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


def saved_plan(manifest: Path, path: Path, options: Options, prepared: Prepared) -> Saved:
    """Return the plan as it is saved at the path."""
    loaded = prepared.loaded
    asked = {
        "vars": {**prepared.remembered, **options.variables},
        **{name: getattr(options, name) for name in _ASKED},
        "select": list(options.select),
    }
    jobs = saved_jobs(prepared.plan.submissions, loaded.profile)
    home = path.parent.resolve()
    places = planfiles.named(manifest, home), planfiles.named(prepared.campaign.folder, home)
    return Saved(*places, loaded.manifest.name, asked, _terms(prepared), jobs, home)


_ASKED = ("limit", "sample", "seed", "no_submit", "price", "max_cost", "max_videos")
_NOT_BESIDE = ("variables", "select", "resubmit_absent", *_ASKED)


def with_plan(options: Options, plan: Saved) -> Options:
    """Return the options with those that the plan was made with. Raises UsageError for one that would change it."""
    bare = Options()
    for name in _NOT_BESIDE:
        if getattr(options, name) != getattr(bare, name):
            option = f"--{name.replace('_', '-')}" if name != "variables" else "--var"
            raise UsageError(f"{option} and --plan exclude each other: what is run stands in the plan")
    asked = plan.asked
    chosen = {name: asked[name] for name in _ASKED}
    return replace(options, plan=plan, variables=asked["vars"], select=tuple(asked["select"]), **chosen)


def check_plan(saved: Saved, prepared: Prepared, options: Options) -> None:
    """Raise StalePlan where a run would do anything else than the saved plan says."""
    loaded, plan = prepared.loaded, prepared.plan
    names = saved.name, loaded.manifest.name
    found = [] if names[0] == names[1] else [Difference(("name",), *names)]
    here = planfiles.named(prepared.campaign.folder, saved.folder)
    found += [] if saved.campaign == here else [Difference(("campaign",), saved.campaign, here)]
    now, words = _terms(prepared), prepared.record.words
    found += differences(saved, now, plan.items, plan.submissions, loaded.profile, words=words)
    if found:
        asked = {spec.name for spec in loaded.specs}
        told = [one for one in found if one.job in asked and one.path][:_PLACES_AT_MOST]
        wanted = {one.job: [other.path for other in told if other.job == one.job] for one in told if one.job}
        raise StalePlan(found, places(Path(loaded.manifest.document.text.file), wanted, options))


_PLACES_AT_MOST = 50


def _terms(prepared: Prepared) -> dict[str, object]:
    account, loaded = prepared.account, prepared.loaded
    budget = {"max_cost": account.max_cost, "max_videos": account.max_videos}
    return terms(loaded.profile, prepared.address, loaded.manifest.retry, budget)
