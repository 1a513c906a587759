"""What people and programs see of a plan. Equal things stand together, so that 100,000 jobs fit on a screen.

Every foreign string goes through ``render.safe``. The document's shape is promised in ``schemas/plan.schema.json``.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.text import Text

from pipeline.commands import Ended
from pipeline.costs import Estimate, Kind
from pipeline.explaining import Source, source_document
from pipeline.plan import Fate, Item
from pipeline.preparation import Prepared
from pipeline.previews import Preview, preview
from pipeline.render import count, safe, spent, terminal
from pipeline.replies import ask, on_a_terminal
from pipeline.saved import Places, StalePlan
from pipeline.summary import Listing
from pipeline.timing import Forecast
from pipeline.trial import Trial

FIRST_REQUESTS = 3
_NAMES_AT_MOST = 4
_CHANGED_AT_MOST = 10
_GROUPS_AT_MOST = 12
_DIFFERENCES_AT_MOST = 50
_REASONS_AT_MOST = 12
_BODY_AT_MOST = 1200
_VALUE = 44
_AROUND = 12

_FATES = {
    Fate.SUBMIT: "to submit",
    Fate.CONTINUE: "to continue, already paid",
    Fate.DECIDE: "waiting for a person",
    Fate.NOTHING: "finished",
    Fate.LEAVE: "left alone",
}
PlacesOf = Callable[[Sequence[Item]], Places]
"""Returns where the new values of some jobs are written."""


def _nowhere(items: Sequence[Item]) -> Places:
    return {}


def document(prepared: Prepared, places: Places, *, listing: Listing = list) -> dict[str, Any]:
    """Return the document of ``plan --json``. ``places`` are where the changed values are written."""
    plan, account, status = prepared.plan, prepared.account, prepared.status
    counted = plan.items.counts
    return {
        "schema_version": 1,
        "name": status.name,
        "path": status.path,
        "provider": prepared.loaded.profile.name,
        "counts": {fate.value: counted[fate] for fate in Fate},
        "cost": _cost_document(prepared.cost),
        "before": {
            "spent": status.spent,
            "in_doubt": status.in_doubt,
            "unknown_price_jobs": status.unknown_price_jobs,
        },
        "budget": {
            "max_cost": account.max_cost,
            "max_videos": account.max_videos,
            "left": account.left,
            "videos_left": account.videos_left,
            "fits": prepared.held,
        },
        "time": asdict(prepared.forecast) if prepared.forecast else None,
        "first_requests": [
            {"job": one.job, "method": "POST", "url": one.url, "encoding": one.encoding, "body": dict(one.fields)}
            for one in _previews(prepared)
        ],
        "jobs": listing(_item_document(item, prepared, places) for item in plan.items),
    }


def confirm(prepared: Prepared) -> bool | None:
    """Show what would be spent, and ask; None where nobody is at a terminal."""
    if not on_a_terminal():
        return None
    show(terminal(stderr=True), prepared)
    return ask("Spend this?")


def _cost_document(cost: Estimate) -> dict[str, Any]:
    groups = [
        {**group.kind._asdict(), "jobs": group.jobs, "price": group.price, "cost": group.cost} for group in cost.groups
    ]
    return {
        "currency": cost.currency,
        "cost": cost.cost,
        "unknown_price_jobs": cost.unknown_price_jobs,
        "groups": groups,
    }


def _item_document(item: Item, prepared: Prepared, places: Places) -> dict[str, Any]:
    failure = item.job.failure if item.job else None
    return {
        "job": item.name,
        "action": item.fate.value,
        "why": item.why.value,
        "reason": item.reason,
        "changes": [
            {
                "path": list(change.path),
                "old": change.old,
                "new": change.new,
                "sources": [source_document(source) for source in places.get((item.name, change.path), ())],
            }
            for change in item.changes
        ],
        "failure": failure.kind.value if failure else None,
        "cost": prepared.price(item) if item.fate is Fate.SUBMIT else None,
        "state": item.state.value if item.state else None,
        "orphaned": item.spec is None,
        "request": dict(item.spec.request) if item.spec else None,
        "output": f"videos/{item.spec.output}" if item.spec else None,
        "origin": item.spec.origin if item.spec else None,
    }


def _previews(prepared: Prepared) -> Iterator[Preview]:
    profile = prepared.loaded.profile
    for item in prepared.plan.submissions[:FIRST_REQUESTS]:
        yield preview(item.name, item.request or {}, profile, prepared.address or profile.base_url)


class _Group:
    """Items of a kind: how many there are, and the first few."""

    __slots__ = ("first", "jobs")

    def __init__(self) -> None:
        self.jobs, self.first = 0, list[Item]()

    def add(self, item: Item) -> None:
        self.jobs += 1
        if len(self.first) < _NAMES_AT_MOST:
            self.first.append(item)

    @property
    def names(self) -> str:
        """The names of the first few jobs, and how many there are besides."""
        shown, more = ", ".join(safe(item.name, 40) for item in self.first), self.jobs - len(self.first)
        return f"{shown}, … and {more:,} more" if more else shown


def _changed_alike(prepared: Prepared) -> Sequence[_Group]:
    """Return the jobs that are changed in groups: the same letters are others in the same fields."""
    groups: defaultdict[tuple[object, ...], _Group] = defaultdict(_Group)
    for item in prepared.plan.items.changed:
        alike = ((change.path, *_core(_spelled(change.old), _spelled(change.new))) for change in item.changes)
        groups[tuple(alike)].add(item)
    return sorted(groups.values(), key=lambda group: -group.jobs)


def _shared(one: str, other: str) -> int:
    """Return with how many equal letters two texts begin: by halves, as there may be many and long ones."""
    equal, most = 0, min(len(one), len(other))
    while equal < most:
        middle = (equal + most + 1) // 2
        equal, most = (middle, most) if one[:middle] == other[:middle] else (equal, middle - 1)
    return equal


def _core(old: str, new: str) -> tuple[str, str]:
    """Return what is left of two texts without their common beginning and end."""
    start = _shared(old, new)
    end = _shared(old[start:][::-1], new[start:][::-1])
    return old[start : len(old) - end], new[start : len(new) - end]


def show(console: Console, prepared: Prepared, places_of: PlacesOf = _nowhere) -> None:
    """Print what a run would do, and why; what it costs, how long it takes, and what it would send first."""
    changed = _changed_alike(prepared)
    places = places_of([group.first[0] for group in changed[:_CHANGED_AT_MOST]])
    console.print(Text(f"{safe(prepared.loaded.manifest.name)} at {safe(prepared.loaded.profile.title)}", "bold"))
    for name, value in prepared.remembered.items():
        console.print(f"  var {safe(name)} = {safe(value, 60)} (from the last run; --var changes it)")
    counts, reasons = prepared.plan.items.counts, _reasons(prepared.plan.items)
    for fate, words in _FATES.items():
        if counts[fate]:
            console.print(Text(f"{counts[fate]:,} {words}", "bold"))
            _print_reasons(console, reasons[fate])
    _print_changes(console, changed, places)
    _print_cost(console, prepared)
    for index, one in enumerate(_previews(prepared)):
        console.print(Text("First requests" if index == 0 else "", "bold"), end="\n" if index == 0 else "")
        console.print(Text(f"  POST {safe(one.url)}  {one.encoding}, {safe(one.job, 60)}", "dim"))
        console.print(f"  {safe(one.text, _BODY_AT_MOST)}")
    console.print(f"Campaign {safe(prepared.campaign.folder.absolute())}")


def _reasons(items: Iterable[Item]) -> Mapping[Fate, Mapping[str, _Group]]:
    """Return the items in groups, by what a run would do and for which reason."""
    groups: defaultdict[Fate, defaultdict[str, _Group]] = defaultdict(lambda: defaultdict(_Group))
    for item in items:
        groups[item.fate][item.reason].add(item)
    return groups


def _print_reasons(console: Console, groups: Mapping[str, _Group]) -> None:
    """Print each reason with how many jobs have it, and the first few of them."""
    listed = sorted(groups.items(), key=lambda pair: -pair[1].jobs)
    width = len(f"{listed[0][1].jobs:,}")
    for reason, found in listed[:_REASONS_AT_MOST]:
        console.print(Text.assemble(f"  {found.jobs:{width},}  {safe(reason, 100)}  ", (found.names, "dim")))
    _print_rest(console, len(listed) - _REASONS_AT_MOST, "reason")


def _print_changes(console: Console, groups: Sequence[_Group], places: Places) -> None:
    if groups:
        console.print(Text("Changed since it was last asked for", "bold"))
    for group in groups[:_CHANGED_AT_MOST]:
        console.print(Text.assemble("  ", (group.names, "bold")))
        for change in group.first[0].changes:
            console.print(
                Text.assemble(
                    f"    {safe(change.field)}: ",
                    between(change.old, change.new),
                    (_written(places.get((group.first[0].name, change.path), ())), "dim"),
                )
            )
    _print_rest(console, sum(group.jobs for group in groups[_CHANGED_AT_MOST:]), "job")


def _written(sources: Sequence[Source]) -> str:
    return f"  {safe('; '.join(map(str, sources)))}" if sources else ""


def between(old: Any, new: Any) -> Text:
    """Return an old value and a new one; of long texts that part in which they differ."""
    before, after = _spelled(old), _spelled(new)
    start = _shared(before, after)
    first = start - _AROUND if start > 2 * _AROUND and max(len(before), len(after)) > _VALUE else 0
    cut = [f"{'…' if first else ''}{safe(text[first:], _VALUE)}" for text in (before, after)]
    return Text.assemble((cut[0], "red"), " -> ", (cut[1], "green"))


def _spelled(value: Any) -> str:
    if value is None:
        return "nothing"
    return value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)


def _print_cost(console: Console, prepared: Prepared) -> None:
    cost, account = prepared.cost, prepared.account
    console.print(Text.assemble(("Cost of what is submitted: ", "bold"), money(cost)))
    if len(cost.groups) > 1 or cost.jobs > 1:
        for group in cost.groups[:_GROUPS_AT_MOST]:
            priced = "price unknown" if group.cost is None else f"{group.price:.2f} each, {group.cost:,.2f}"
            console.print(f"  {group.jobs:,} x {safe(_words(group.kind))}: {priced}")
        _print_rest(console, len(cost.groups) - _GROUPS_AT_MOST, "kind")
    if prepared.record.sums.counts:
        console.print(f"Before: {spent(prepared.status)}")
    if account.is_bounded:
        bounds = [] if account.left is None else [f"{account.left:,.2f} {cost.currency or ''}".rstrip()]
        bounds += [] if account.videos_left is None else [count(account.videos_left, "video")]
        console.print(f"Budget: {' and '.join(bounds)} left{_fits(prepared)}")
    if prepared.forecast is not None and (cost.jobs or prepared.forecast.usual or prepared.forecast.unknown_jobs):
        rate = f"{prepared.requests_per_minute:g} a minute, {prepared.loaded.limits.max_in_flight} at a time"
        console.print(f"Time: {_time(prepared.forecast)} ({rate})")


def _fits(prepared: Prepared) -> str:
    jobs, held = prepared.cost.jobs, prepared.held
    if not jobs:
        return ""
    if prepared.account.max_cost is not None and prepared.cost.unknown_price_jobs:
        return ", which cannot hold: a run refuses until --price says what nobody knows"
    return ": the plan fits" if held == jobs else f": {held:,} of {count(jobs, 'job')} fit, and the run ends there"


def _words(kind: Kind) -> str:
    seconds = None if kind.seconds is None else f"{kind.seconds} s"
    return " ".join(word for word in (kind.model, kind.size, seconds) if word is not None)


def canary(console: Console, end: Ended, found: Trial) -> None:
    """Print what came first, where to look at it, and what the rest would be."""
    first = count(len(found.first.prepared.selected), "video")
    console.print(Text(f"The first {first} of {safe(end.status.name)} can be looked at.", "bold"))
    console.print(f"Videos   {safe(end.status.path)}/videos")
    console.print(f"The rest: {count(found.rest, 'job')}, {money(found.cost)}")
    console.print("To render it without being asked, give the same command with --yes and without --canary.")


def money(cost: Estimate) -> str:
    """Return what an estimate comes to, in words: an unknown price is said."""
    if cost.unknown_price_jobs:
        known = f"{cost.cost:,.2f} {cost.currency} and " if cost.cost else ""
        return f"{known}unknown for {count(cost.unknown_price_jobs, 'job')}: the profile has no price"
    return f"{cost.cost:,.2f} {cost.currency or ''}".rstrip()


def _time(found: Forecast) -> str:
    if found.usual is None or found.slow is None:
        least = f"at least {_long(found.submitting)} to submit; " if found.submitting else ""
        return f"{least}unknown until some have rendered"
    usual, slow = _long(found.usual), _long(found.slow)
    return f"about {usual}" if usual == slow else f"about {usual}, {slow} if renders are slow"


def _long(seconds: float) -> str:
    """Return a duration in the two largest of its units."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} days {hours % 24} h"


def stale(console: Console, found: StalePlan) -> None:
    """Print in what a saved plan is not what a run would do now, and where the new values are written."""
    for one in found.differences[:_DIFFERENCES_AT_MOST]:
        what = ", ".join(filter(None, (safe(one.job or "", 60), safe(one.field))))
        written = _written(found.places.get((one.job or "", one.path), ()))
        console.print(Text.assemble(f"  {what}: ", between(one.old, one.new), (written, "dim")))
    _print_rest(console, len(found.differences) - _DIFFERENCES_AT_MOST, "difference", all_of_them=False)


def _print_rest(console: Console, rest: int, noun: str, *, all_of_them: bool = True) -> None:
    if rest > 0:
        where = "; --json has them all" if all_of_them else ""
        console.print(f"  … and {rest:,} more {noun}{'s'[: rest != 1]}{where}")
