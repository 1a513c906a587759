"""The verbs for who writes a manifest: begin, check, fix, explain. Nothing here asks a server."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from pipeline import commands, files, fixing, hints, pages, starter
from pipeline.culprits import field_of
from pipeline.errors import ManifestError, Problem, UsageError
from pipeline.explaining import Explained, Source, explained
from pipeline.jobs import Job, State
from pipeline.preparation import Options, remembering
from pipeline.profile import Profile
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


def check(manifests: Sequence[Path], options: Options) -> Checked:
    """Return every problem in the manifests, in their order. Tables that several of them use are said once."""
    found: dict[Problem, None] = {}
    jobs: dict[Path, int] = {}
    for manifest in manifests:
        try:
            loaded = commands.validate(manifest, options)
        except ManifestError as error:
            found |= dict.fromkeys(error.problems)
        else:
            found |= dict.fromkeys(loaded.warnings)
            jobs[manifest] = len(loaded.specs)
    return Checked(tuple(found), jobs)


def fix(manifests: Sequence[Path], options: Options) -> Checked:
    """Carry out every fix that is safe, and return what is wrong afterwards. Raises StorageError for a file that cannot
    be written.
    """
    foreign = {str(path) for path in (options.profiles.file, *options.profiles.own.values()) if path}
    differences = fixing.fix(lambda: [one for one in check(manifests, options).problems if one.file not in foreign])
    return replace(check(manifests, options), differences=tuple(differences))


BLAMED_AT_MOST = 20
"""Jobs whose refused field is looked for: what is wrong in many is written in few places."""

_REFUSED = frozenset({State.FAILED, State.PLANNED})


@dataclass(frozen=True, slots=True)
class Blame:
    """The field that a provider refused, by the manifest's name, and where it is written."""

    field: str
    source: Source


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
    told = ((job, job.failure) for job in jobs if job.failure and not job.orphaned and job.state in _REFUSED)
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


def begin(manifest: Path) -> Path:
    """Write a first manifest, and the schema beside it, whose path is returned. Raises UsageError where one exists."""
    text = (files.manifests_dir() / "starter.yaml").read_text("utf-8")
    # In the package the schema lies elsewhere.
    text = text.replace("$schema=../schemas/manifest.schema.json", f"$schema={starter.SCHEMA}")
    return starter.write(manifest, text, files.schema_text("manifest"))


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
