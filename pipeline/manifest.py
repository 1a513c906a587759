"""A manifest as a value: what a person wrote, without what is wrong in it. Pure.

``defaults`` lie under every job, and the profile's own defaults under them: mappings merge deeply, the job wins, and
lists and texts replace. A merge key (``<<``) is YAML's and shallow; it is done before.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipeline import hints
from pipeline.document import Document, Path, Place
from pipeline.errors import Problem
from pipeline.validation import Schema, findings, located, mended

FILENAME = "{{ id }}.mp4"


@dataclass(frozen=True, slots=True)
class Manifest:
    """``limits`` holds what the manifest says of them. ``jobs`` has a None for an entry that is no job."""

    document: Document
    name: str
    provider: str
    limits: Mapping[str, Any]
    filename: str
    variables: Mapping[str, str]
    defaults: Mapping[str, Any]
    jobs: Sequence[Mapping[str, Any] | None]

    @property
    def tables(self) -> dict[str, Place]:
        """The files that jobs have their rows from, as written, each with the first place that names it."""
        found: dict[str, Place] = {}
        for index, job in enumerate(self.jobs):
            if job and "from" in job and job["from"] not in found:
                found[job["from"]] = self.document.value_at(("jobs", index, "from"))
        return found

    def written(self, index: int, path: Path) -> Path:
        """Return where in the document a job's value is written: in the job, in ``defaults``, or nowhere: the job."""
        places = (("jobs", index, *path), ("defaults", *path))
        return next((place for place in places if _has(self.document.value, place)), ("jobs", index))


def read(document: Document, schema: Schema, *, variables: Mapping[str, str]) -> tuple[Manifest, list[Problem]]:
    """Return the manifest and every problem that the schema finds in it. ``variables`` replace its own ``vars``."""
    found = findings(document.value, schema)
    value = mended(document, found)
    value = value if isinstance(value, dict) else {}
    output, declared = value.get("output", {}), value.get("vars", {})
    manifest = Manifest(
        document=document,
        name=value.get("name", ""),
        provider=value.get("provider", ""),
        limits={name: int(limit) if limit == int(limit) else limit for name, limit in value.get("limits", {}).items()},
        filename=output.get("filename", FILENAME),
        variables={**declared, **variables},
        defaults=value.get("defaults", {}),
        jobs=[job if isinstance(job, dict) else None for job in value.get("jobs", ())],
    )
    problems = [*located(found, document), *_variable_problems(document, declared, variables), *_cut_prompts(document)]
    return manifest, problems


def merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return both mappings in one, deeply. Where both have a key and not two mappings, ``over`` wins."""
    both = {**under, **over}
    for key, value in over.items():
        below = under.get(key)
        if isinstance(value, dict) and isinstance(below, dict):
            both[key] = merged(below, value)
    return both


def ordered(problems: Iterable[Problem], *, first: str) -> list[Problem]:
    """Return the problems by file, the one named ``first`` before others, line and column.

    Where several speak of the same value, the one that tells most about it stays.
    """
    most: dict[tuple[str, int, int], int] = {}
    found = list(dict.fromkeys(problems))
    for problem in found:
        rank = _RANKS.get(problem.rule)
        if rank is not None:
            place = problem.file, problem.line, problem.column
            most[place] = min(rank, most.get(place, rank))
    kept = (p for p in found if _RANKS.get(p.rule, -1) in {-1, most.get((p.file, p.line, p.column))})
    return sorted(kept, key=lambda p: (p.file != first, p.file, p.line, p.column, p.rule, p.message))


_RANKS = {
    rule: rank
    for rank, rule in enumerate(
        ("unquoted-placeholder", "alias", "tag", "merge", "number", "wrong-value", "wrong-type")
    )
}


def _has(value: Any, path: Path) -> bool:
    for step in path:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return False
    return True


def _cut_prompts(document: Document) -> Iterator[Problem]:
    for found in _CUT_PROMPT.finditer(document.text.text):
        place = document.text.place(found.end() - 1)
        message = "the prompt ends here: the rest of the line is a comment"
        problem = place.problem("comment-in-prompt", message, "put the prompt in quotes if the rest belongs to it")
        yield replace(problem, severity="warning")


_CUT_PROMPT = re.compile(r"""^[ \t-]*prompt:[ \t]+[^\s"'|>&*{\[#][^\r\n]*?[ \t]#""", re.MULTILINE)


def _variable_problems(
    document: Document, declared: Mapping[str, str], variables: Mapping[str, str]
) -> Iterator[Problem]:
    whole = document.key_at(("vars",)) if _has(document.value, ("vars",)) else document.value_at(())
    for name, text in variables.items():
        if name not in declared:
            meant = hints.close(name, declared)
            fix = (
                f"write --var {meant}=..." if meant else "declare it in `vars`, with the text that holds without --var"
            )
            yield whole.problem("undeclared-variable", f"--var {name}: `vars` has no such name", fix)
        if any("\ud800" <= char <= "\udfff" for char in text):
            yield whole.problem("character", f"--var {name} is not UTF-8 text", "write UTF-8")
    for name, text in declared.items():
        if "{{" in text and name not in variables:
            message = f"the text of {name} holds {{{{, which is not read again: it goes into the prompt as it is"
            place = document.occurrence_at(("vars", name), "{{", 0)
            problem = place.problem("placeholder-in-variable", message, "write the whole text out")
            yield replace(problem, severity="warning")
