"""A plan that is kept to be run exactly: its document, and in what it differs from what a run would do now. Pure.

"Exactly" means: the same jobs, in the same order, each with the same request, price and file, under the same terms (who
is asked, how requests are written, which failures are paid for once more, the budget). What is paid already is fetched
as always, and is no part of it. A job that the ledger has carried on since is done, or on its way, by the same plan.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.changes import Change, changes
from pipeline.errors import UsageError
from pipeline.explaining import Source
from pipeline.jobs import canonical_json
from pipeline.plan import Fate, Item, Key
from pipeline.profile import Profile

KIND = "callsheet-plan"
_NOT_ONE = "is no plan that `callsheet plan --save` has written"


@dataclass(frozen=True, slots=True)
class Difference(Change):
    """A field that is another than in the saved plan, of a job or, without one, of the terms."""

    job: str | None = None


Places = Mapping[tuple[str, tuple[str, ...]], tuple[Source, ...]]
"""Where a value, and all that was put into it, is written, by the job's name and the path of the field."""


class StalePlan(UsageError):
    """A saved plan is not what a run would do now. Carries every difference, and the places. Nothing was sent."""

    def __init__(self, differences: Sequence[Difference], places: Places) -> None:
        number = len(differences)
        super().__init__(
            f"the saved plan is not what would be done now: {number} difference{'s'[: number != 1]}; nothing was sent. "
            "Save a plan anew, or bring back what it was made of"
        )
        self.differences = tuple(differences)
        self.places = places


class SavedJob(NamedTuple):
    """A job that the plan submits. ``approvals``: how often it had been allowed to be paid for once more."""

    job: str
    request_hash: str
    request: Mapping[str, Any]
    output: str
    price: float | None
    approvals: int


@dataclass(frozen=True, slots=True)
class Saved:
    """``manifest`` and ``campaign``'s folder are paths from the plan's own ``folder``, which is no part of its text.

    ``asked`` are the options that decided what is in it, ``terms`` is what holds for all jobs together, see ``terms``.
    """

    manifest: str
    campaign: str
    name: str
    asked: Mapping[str, Any]
    terms: Mapping[str, Any]
    jobs: tuple[SavedJob, ...]
    folder: Path

    @property
    def names(self) -> frozenset[str]:
        return frozenset(job.job for job in self.jobs)


def terms(profile: Profile, address: str | None, retry: Mapping[str, Any], budget: Mapping[str, Any]) -> dict[str, Any]:
    """Return what decides, beside the jobs themselves, what is sent and what may be paid. No key, no path."""
    rules = profile.request
    travels = {"image": rules.input_reference.image, "url": rules.input_reference.url}
    return {
        "provider": profile.name,
        "address": address,
        "currency": profile.price.currency if profile.price else None,
        "budget": dict(budget),
        "retry": dict(retry),
        "unbilled": sorted(profile.unbilled),
        "encoding": rules.encoding,
        "fields": {name: f"{field.name}: {field.type}" for name, field in rules.fields.items()},
        "input_reference": {name: f"{one.field}: {one.form}" for name, one in travels.items() if one},
        "echo": profile.abilities.echo,
    }


def saved_jobs(submissions: Iterable[Item], profile: Profile) -> tuple[SavedJob, ...]:
    """Return what the plan submits, in its order."""
    return tuple(_saved_job(item, profile) for item in submissions)


def _saved_job(item: Item, profile: Profile) -> SavedJob:
    assert item.spec is not None  # noqa: S101  # nothing is submitted that the manifest does not ask for
    request, job = item.request or {}, item.job
    output = item.spec.output if job is None or job.attempt == 0 else job.output
    price = profile.cost(item.spec.request)
    return SavedJob(item.name, item.spec.request_hash, request, output, price, _approvals(item))


def text_of(saved: Saved) -> str:
    """Return the document: a job a line, so that two of them can be compared."""
    head = {
        "schema_version": 1,
        "kind": KIND,
        "manifest": saved.manifest,
        "campaign": saved.campaign,
        "name": saved.name,
        "asked": dict(saved.asked),
        "terms": dict(saved.terms),
    }
    jobs = [job._asdict() for job in saved.jobs]
    sealed = {**head, "sha256": _digest({**head, "jobs": jobs})}
    lines = ",\n    ".join(canonical_json(job) for job in jobs)
    shown = json.dumps(sealed, indent=2, ensure_ascii=False).removesuffix("\n}")
    return f'{shown},\n  "jobs": [\n    {lines}\n  ]\n}}\n' if jobs else f'{shown},\n  "jobs": []\n}}\n'


def saved_from(text: str, *, name: str, folder: Path) -> Saved:
    """Return the plan in a document. Raises UsageError for another one, a newer one, and one that was changed."""
    try:
        document = json.loads(text)
        if document["kind"] != KIND:
            raise UsageError(f"{name} {_NOT_ONE}")
        if document["schema_version"] != 1:
            raise UsageError(f"{name} was saved by a newer Callsheet")
        if document.pop("sha256") != _digest(document):
            raise UsageError(f"{name} was changed since it was saved: change the manifest, and save a plan anew")
        jobs = tuple(SavedJob(**job) for job in document["jobs"])
        places = document["manifest"], document["campaign"]
        return Saved(*places, document["name"], document["asked"], document["terms"], jobs, folder)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(f"{name} {_NOT_ONE}") from error


def is_saved(text: str) -> bool:
    """Tell whether a text is such a document, by its beginning."""
    return text.lstrip().startswith('{\n  "schema_version": 1,\n  "kind": "callsheet-plan"')


def _digest(document: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical_json(document).encode()).hexdigest()


def differences(
    saved: Saved,
    now: Mapping[str, Any],
    items: Iterable[Item],
    submissions: Sequence[Item],
    profile: Profile,
    *,
    words: Mapping[Key, int],
) -> list[Difference]:
    """Return in what the saved plan is not what a run would do: the terms first, then jobs, then their order.

    ``now`` are the terms, ``items`` all of the plan, ``submissions`` what it would submit. ``words``: how many
    approvals a job had when a person spoke last.
    """
    found = [Difference(change.path, change.old, change.new) for change in changes(saved.terms, now)]
    known, ahead = {item.name: item for item in items if item.spec}, {item.name: item for item in submissions}
    for job in saved.jobs:
        found += _of_job(job, known.get(job.job), profile, words)
    found += [Difference((), None, "submitted", name) for name in ahead if name not in saved.names]
    # What is sent once more has another place in the order than it had, by the same plan.
    first = {job.job for job in saved.jobs if job.job in ahead and _approvals(ahead[job.job]) == job.approvals}
    before = [job.job for job in saved.jobs if job.job in first]
    coming = [name for name in ahead if name in first]
    other = next((pair for pair in zip(before, coming, strict=True) if pair[0] != pair[1]), None)
    return found if other is None else [*found, Difference(("order",), *other)]


def _approvals(item: Item) -> int:
    return item.job.approvals if item.job else 0


def _of_job(job: SavedJob, item: Item | None, profile: Profile, words: Mapping[Key, int]) -> Iterator[Difference]:
    if item is None or item.spec is None:
        yield Difference((), "submitted", "not in the manifest", job.job)
        return
    if item.fate is Fate.LEAVE:
        yield Difference((), "submitted", item.reason, job.job)
        return
    if item.fate is not Fate.SUBMIT and item.spec.request_hash == job.request_hash:
        return  # carried on since
    now = _saved_job(item, profile)
    old, new = (dict(one.request) | {"output": one.output, "price": one.price} for one in (job, now))
    for change in changes(old, new):
        yield Difference(change.path, change.old, change.new, job.job)
    # Whatever happened to it since: the plan has paid for it once.
    if item.job is not None and words.get((item.job.name, item.job.request_hash), 0) > job.approvals:
        yield Difference((), f"paid for {job.approvals + 1} times at the most", item.reason, job.job)


def carried_on(saved: Saved, items: Iterable[Item]) -> str | None:
    """Return, in words, what the ledger has carried on of the plan since it was saved; None where nothing moved."""
    names = saved.names
    found = Counter(item.why for item in items if item.spec and item.name in names and item.fate is not Fate.SUBMIT)
    told = ", ".join(f"{number:,} {why.replace('_', ' ')}" for why, number in found.items())
    return f"Carried on since the plan was saved: {told}." if told else None
