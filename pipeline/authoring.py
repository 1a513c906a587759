"""The verbs for who writes a manifest: begin, check, fix, explain, and which profiles there are. Nothing here asks a
server.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Any

from pipeline import comparing, files, fixing, hints, pages, providers, shipped, starter
from pipeline.blocking import in_a_thread
from pipeline.checking import checked, remembering
from pipeline.comparing import Row
from pipeline.culprits import field_of
from pipeline.errors import ManifestError, Problem, UsageError
from pipeline.explaining import Explained, Source, explained
from pipeline.instructions import Options
from pipeline.jobs import Job, State
from pipeline.profile import Profile, profile_from
from pipeline.rules import Rule
from pipeline.templates import ROW


@dataclass(frozen=True, slots=True)
class Checked:
    """What is wrong with manifests, each thing once; and of those without errors, how many jobs they have.

    ``differences`` are what was changed in files, as ``diff -u`` shows it.
    """

    problems: tuple[Problem, ...]
    jobs: Mapping[Path, int]
    differences: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        return 2 * any(problem.severity == "error" for problem in self.problems)


class Whose(StrEnum):
    """Where a profile comes from: with Callsheet, from ``--profile``, or from the person's folder."""

    OURS = "ours"
    GIVEN = "given"
    YOURS = "yours"
    INSTEAD = "yours, in place of ours"


@dataclass(frozen=True, slots=True)
class Known:
    """A profile that a manifest can name. ``problem`` says why its file is none; then there is no ``profile``."""

    name: str
    whose: Whose
    file: Path | None
    profile: Profile | None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Portrait:
    """Profiles, and every field of one, or those in which two differ."""

    profiles: tuple[Known, ...]
    rows: tuple[Row, ...] = ()


@in_a_thread
def check(manifests: Sequence[Path], options: Options) -> Checked:
    """Return every problem in the manifests, in their order. Tables that several of them use are said once."""
    return _checked(manifests, options)


def _checked(manifests: Sequence[Path], options: Options) -> Checked:
    found: dict[Problem, None] = {}
    jobs: dict[Path, int] = {}
    for manifest in manifests:
        try:
            loaded = checked(manifest, options)
        except ManifestError as error:
            found |= dict.fromkeys(error.problems)
        else:
            found |= dict.fromkeys(loaded.warnings)
            jobs[manifest] = len(loaded.specs)
    return Checked(tuple(found), jobs)


@in_a_thread
def fix(manifests: Sequence[Path], options: Options) -> Checked:
    """Carry out every fix that is safe, and return what is wrong afterwards. Raises StorageError for a file that cannot
    be written.
    """
    foreign = {str(path) for path in (options.profiles.file, *options.profiles.own.values()) if path}
    differences = fixing.fix(lambda: [one for one in _checked(manifests, options).problems if one.file not in foreign])
    return replace(_checked(manifests, options), differences=tuple(differences))


BLAMED_AT_MOST = 20
"""Jobs whose refused field is looked for: what is wrong in many is written in few places."""

REFUSED = frozenset({State.FAILED, State.PLANNED})


@dataclass(frozen=True, slots=True)
class Blame:
    """The field that a provider refused, by the manifest's name, and where it is written."""

    field: str
    source: Source


@in_a_thread
def explain(manifest: Path, job: str, options: Options) -> Explained:
    """Return where every value of a job comes from. A job's name may lack its take. Variables are those of ``run``.

    Raises ManifestError where the manifest has mistakes, and UsageError where it has no such job.
    """
    name = job if "#" in job else f"{job}#1"
    remembered = remembering(options)
    found, traces = files.traces(
        manifest, [name], variables=options.variables, profiles=options.profiles, remembered=remembered
    )
    return explained(found, traces[name], given=options.variables)


def blamed(manifest: Path, profile: Profile, jobs: Iterable[Job], options: Options) -> Mapping[str, Blame]:
    """Return, by the job's name, which field the provider refused and where it is written, of jobs that tell of one.

    Nothing where the manifest has been changed since, and cannot be read any more.
    """
    told = ((job, job.failure) for job in jobs if job.failure and not job.orphaned and job.state in REFUSED)
    fields = ((job.name, field_of(failure, job.request, profile.request)) for job, failure in told)
    chosen = dict(islice(((name, field) for name, field in fields if field), BLAMED_AT_MOST))
    if not chosen:
        return {}
    try:
        found, traces = files.traces(
            manifest, chosen, variables=options.variables, profiles=options.profiles, remembered=remembering(options)
        )
    except (ManifestError, UsageError):
        return {}
    return {
        name: Blame(field, _source(explained(found, traces[name], given=options.variables), field))
        for name, field in chosen.items()
    }


def _source(found: Explained, field: str) -> Source:
    """Return where the field's value is written: in the cell of the one column that it is made of, else in its text."""
    sources = next(origin.sources for origin in found.origins if origin.path[0] == field)
    cells = [source for source in sources if source.name is not None and source.name.startswith(ROW)]
    return cells[0] if len(cells) == 1 else sources[0]


@in_a_thread
def begin(manifest: Path) -> Path:
    """Write a first manifest, and the schema beside it, whose path is returned. Raises UsageError where one exists."""
    text = (shipped.manifests_dir() / "starter.yaml").read_text("utf-8")
    # In the package the schema lies elsewhere.
    text = text.replace("$schema=../schemas/manifest.schema.json", f"$schema={starter.SCHEMA}")
    return starter.write(manifest, text, shipped.schema_text("manifest"))


def rulebook() -> Mapping[str, Rule]:
    """Return every rule by its code."""
    return pages.rulebook()


def rule(code: str) -> Rule:
    """Return what is said about a code. Raises UsageError for one that there is not."""
    known = rulebook()
    if code in known:
        return known[code]
    near = hints.close(code, known)
    meant = f"did you mean {near}? " if near else ""
    raise UsageError(f"there is no rule {code[:100]!r}: {meant}`callsheet explain` lists all of them")


def profiles(options: Options) -> Portrait:
    """Return the profiles that there are. A file that is no profile is among them, with what is wrong with it."""
    given, own = options.profiles.file, options.profiles.own
    found = [] if given is None else [_known(given.stem, Whose.GIVEN, given)]
    for name in options.profiles.names:
        ours = name in shipped.profile_names()
        whose = Whose.OURS if name not in own else Whose.INSTEAD if ours else Whose.YOURS
        found.append(_known(name, whose, own.get(name)))
    return Portrait(tuple(found))


def portrait(names: Sequence[str], options: Options) -> Portrait:
    """Return every field of one profile, or those in which two differ. Raises UsageError, ManifestError for what is
    none.
    """
    schema, listed = shipped.schema("profile"), profiles(options).profiles
    told = {name: written(name, options) for name in names}
    rules = {name: providers.request_schema(profile_from(one).request) for name, one in told.items()}
    models = [model for name in names for model in comparing.models(told[name], rules[name])]
    more = models if len(names) > 1 else []
    facts = [comparing.facts(told[name], schema, rules[name], more) for name in names]
    rows = [row for row in comparing.side_by_side(facts) if len(names) == 1 or row.differs]
    return Portrait(tuple(next(one for one in listed if one.name == name) for name in names), tuple(rows))


def schema_text(name: str) -> str:
    """Return a JSON Schema of ``schemas/`` by its short name, as it is on disk."""
    return shipped.schema_text(name)


def language(name: str, provider: str, options: Options) -> Mapping[str, Any]:
    """Return the schema of manifests, or of included files, with what a provider takes. Raises UsageError."""
    if name not in {"manifest", "include"}:
        raise UsageError(
            f"the schema {name[:100]!r} is the same for all providers: --provider goes with manifest, include"
        )
    return providers.language(name, profile_from(written(provider, options)))


def written(name: str, options: Options) -> Mapping[str, Any]:
    """Return the profile of this name as it is written. Raises UsageError, ManifestError where there is none."""
    found = options.profiles.written(name)
    if found is None:
        known = list(options.profiles.names)
        near = hints.close(name, known)
        raise UsageError(
            f"there is no profile {name[:100]!r}; "
            + (f"did you mean {near}?" if near else f"there are {', '.join(known)}")
        )
    return found


def _known(name: str, whose: Whose, file: Path | None) -> Known:
    """Return what there is under this name. One that ``--profile`` gives is called as it says."""
    try:
        told = providers.profile(name) if file is None else providers.own_profile(file)
    except ManifestError as error:
        first = error.problems[0]
        return Known(name, whose, file, None, f"{first.line}:{first.column}: {first.message}")
    except UsageError as error:
        return Known(name, whose, file, None, str(error))
    if told.name != name and whose is not Whose.GIVEN:
        return Known(name, whose, file, None, f"it has the profile {told.name!r}: name the file {told.name}.yaml")
    return Known(told.name, whose, file, told)
