"""A manifest as a value: what a person wrote, in one file or several, without what is wrong in it. Pure.

``defaults`` lie under every job, and the profile's own defaults under them: mappings merge deeply, the job wins, and
lists and texts replace. A merge key (``<<``) is YAML's and shallow; it is done before. Included files are parts of the
same manifest: their ``vars`` and ``defaults`` lie under those of the file that includes them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from pipeline import hints
from pipeline.document import MAX_PROBLEMS, Document, Path, Place
from pipeline.errors import Problem
from pipeline.validation import Schema, findings, located, mended

FILENAME = "{{ id }}.mp4"


class Layer(NamedTuple):
    """Where something is written."""

    document: Document
    path: Path

    @property
    def value(self) -> Any:
        """What is written there, with its mistakes. Raises KeyError, IndexError or TypeError where nothing is."""
        value = self.document.value
        for step in self.path:
            value = value[step]
        return value

    @property
    def value_place(self) -> Place:
        return self.document.value_at(self.path)

    @property
    def key_place(self) -> Place:
        return self.document.key_at(self.path)


class Part(NamedTuple):
    """One file of a manifest, and its value without what is wrong in it.

    ``said`` are the paths about which something is said, and those of keys that are meant by others.
    """

    document: Document
    value: Mapping[str, Any]
    said: frozenset[Path] = frozenset()


@dataclass(frozen=True, slots=True)
class Entry:
    """The ``index``-th entry of ``jobs`` in a file."""

    document: Document
    index: int
    job: Mapping[str, Any]

    def layer(self, path: Path = ()) -> Layer:
        return Layer(self.document, ("jobs", self.index, *path))


@dataclass(frozen=True, slots=True)
class Manifest:
    """``limits``, ``budget`` and ``retry`` hold what the manifest says. ``document`` is the file that was asked for.

    ``remembered`` are those of the ``variables`` that an earlier command was given.
    """

    document: Document
    name: str
    provider: str
    limits: Mapping[str, Any]
    budget: Mapping[str, Any]
    retry: Mapping[str, Any]
    filename: str
    variables: Mapping[str, str]
    remembered: Mapping[str, str]
    declared: Mapping[str, Layer]
    defaults: Mapping[str, Any]
    default_layers: Sequence[Layer]
    entries: Sequence[Entry]
    said: frozenset[tuple[str, Path]]

    def is_said(self, layer: Layer) -> bool:
        """Tell whether something is said about what is, or should be, written there."""
        return (layer.document.text.file, tuple(layer.path)) in self.said

    def written(self, entry: Entry, path: Path) -> Layer:
        """Return where a job's value is written: in the job, in the nearest ``defaults``, or nowhere: the job."""
        layers = (entry.layer(path), *(Layer(layer.document, (*layer.path, *path)) for layer in self.default_layers))
        return next((layer for layer in layers if is_there(layer)), entry.layer())


def read(document: Document, schema: Schema) -> tuple[Part, list[Problem]]:
    """Return one file of a manifest, and every problem that the schema finds in it."""
    found = findings(document.value, schema)
    # With so many mistakes nobody knows what is left of it.
    value = mended(document, found) if len(found) < MAX_PROBLEMS else {}
    paths = [(*f.path[:-1], f.meant) if f.meant else f.path for f in found]
    said = frozenset(path[:length] for path in paths for length in range(2, len(path) + 1))
    return Part(document, value if isinstance(value, dict) else {}, said), located(found, document)


def assembled(
    parts: Sequence[Part], *, variables: Mapping[str, str], remembered: Mapping[str, str] | None = None
) -> tuple[Manifest, list[Problem]]:
    """Return the manifest of which these are the files, the one that was asked for last.

    ``variables`` go before its own; between them those that are ``remembered``, if they are still declared.
    """
    document, value, _ = parts[-1]
    declared: dict[str, Layer] = {}
    texts: dict[str, str] = {}
    defaults: dict[str, Any] = {}
    layers: list[Layer] = []
    entries: list[Entry] = []
    for part in parts:
        # One whose text is wrong is declared all the same.
        texts |= dict.fromkeys(part.document.names_at(("vars",)), "")
        texts |= part.value.get("vars", {})
        declared |= {name: Layer(part.document, ("vars", name)) for name in part.value.get("vars", {})}
        defaults = merged(defaults, part.value.get("defaults", {}))
        layers.insert(0, Layer(part.document, ("defaults",)))
        jobs = part.value.get("jobs", ())
        entries += [Entry(part.document, index, job) for index, job in enumerate(jobs) if isinstance(job, dict)]
    kept = {name: text for name, text in (remembered or {}).items() if name in texts and name not in variables}
    manifest = Manifest(
        document=document,
        name=value.get("name", ""),
        provider=value.get("provider", ""),
        limits={name: int(limit) if limit == int(limit) else limit for name, limit in value.get("limits", {}).items()},
        budget=value.get("budget", {}),
        retry=value.get("retry", {}),
        filename=value.get("output", {}).get("filename", FILENAME),
        variables={**texts, **kept, **variables},
        remembered=kept,
        declared=declared,
        defaults=defaults,
        default_layers=[layer for layer in layers if is_there(layer)],
        entries=entries,
        said=frozenset((part.document.text.file, path) for part in parts for path in part.said),
    )
    return manifest, [*_variable_problems(manifest, variables), *_no_jobs(parts)]


def merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return both mappings in one, deeply. Where both have a key and not two mappings, ``over`` wins."""
    both = {**under, **over}
    for key, value in over.items():
        below = under.get(key)
        if isinstance(value, dict) and isinstance(below, dict):
            both[key] = merged(below, value)
    return both


def is_there(layer: Layer) -> bool:
    try:
        _ = layer.value
    except (KeyError, IndexError, TypeError):
        return False
    return True


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
        (
            *("unquoted-placeholder", "alias", "tag", "merge", "number", "wrong-value", "wrong-type"),
            *("out-of-bounds", "filename", "unknown-provider", "include", "image", "from", "undefined-column"),
        )
    )
}


def _no_jobs(parts: Sequence[Part]) -> Iterator[Problem]:
    """The schema asks for ``jobs`` only where nothing is included."""
    document = parts[-1].document
    if is_there(Layer(document, ("include",))) and not any(is_there(Layer(part.document, ("jobs",))) for part in parts):
        message = "neither this file nor what it includes has jobs"
        yield document.key_at(("include",)).problem("missing-key", message, "add jobs: [{ id: first, prompt: ... }]")


def _variable_problems(manifest: Manifest, variables: Mapping[str, str]) -> Iterator[Problem]:
    document, declared = manifest.document, manifest.declared
    here = Layer(document, ("vars",))
    whole = here.key_place if is_there(here) else document.value_at(())
    for name, text in variables.items():
        if name not in declared:
            meant = hints.close(name, declared)
            fix = (
                f"write --var {meant}=..." if meant else "declare it in `vars`, with the text that holds without --var"
            )
            yield whole.problem("undeclared-variable", f"--var {name}: `vars` has no such name", fix)
        if any("\ud800" <= char <= "\udfff" for char in text):
            yield whole.problem("character", f"--var {name} is not UTF-8 text", "write UTF-8")
    for name, layer in declared.items():
        if name not in {**variables, **manifest.remembered} and "{{" in manifest.variables[name]:
            message = f"the text of {name} holds {{{{, which is not read again: it goes into the prompt as it is"
            place = layer.document.occurrence_at(layer.path, "{{", 0)
            yield place.warning("placeholder-in-variable", message, "write the whole text out")
