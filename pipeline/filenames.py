"""``output.filename``: where each job's video lies below ``videos/``. Pure."""

from collections.abc import Callable
from typing import Any

from pipeline import naming
from pipeline.document import Place
from pipeline.errors import Problem
from pipeline.manifest import Layer, Manifest, is_there
from pipeline.templates import Fault, Scope, Slot, bound, filled, slots

_PATH = ("output", "filename")
_ADVICE = "write {{ id }}, {{ take }} or {{ shard }}"
_SAMPLE = {"id": "a-t1", "take": "1", "shard": "00"}


class Filenames:
    """The files of all jobs so far. What is wrong is wrong in the manifest's one template, and is said once."""

    def __init__(self, manifest: Manifest) -> None:
        self.problems = list[Problem]()
        self._document = manifest.document
        self._taken: dict[str, str] = {}
        self._longest = 0
        self._template: Any = self._bound(manifest.filename)
        used = slots(self._template)
        self._has_shard = "shard" in used
        self._has_id = "id" in used  # ids differ in more than case, so paths with them do

    def path(self, name: str, take: int, place: Callable[[], Place]) -> str:
        """Return the path of a job's video, or nothing where there is a problem.

        ``place`` is that of the job's id, which is to blame where no template is written.
        """
        if self.problems:
            return ""
        cells = {"id": naming.stem(name), "take": str(take), "shard": naming.shard(name) if self._has_shard else ""}
        path: str = filled(self._template, cells)
        if len(path) > self._longest:  # beside its length, one job's path is as safe as any other's
            self._longest = len(path)
            self._refuse(naming.path_fault(path), place)
        if not self._has_id:
            other = self._taken.setdefault(path, name)
            if other != name:
                self._refuse(f"is the same for {other} and {name}: {path}", place)
        return path

    def _bound(self, written: str) -> Any:
        faults: list[Fault] = []
        template = bound(
            written, Scope({name: Slot(name) for name in _SAMPLE}, advice=_ADVICE, rows=False), faults, _PATH
        )
        for fault in faults:
            place = self._document.occurrence_at(fault.path, "{{", fault.nth)
            self.problems.append(place.problem(fault.rule, fault.message, fault.fix))
        if not faults:
            self._refuse(naming.path_fault(filled(template, _SAMPLE)), lambda: self._document.value_at(()))
        return template

    def _refuse(self, why: str | None, place: Callable[[], Place]) -> None:
        written = is_there(Layer(self._document, _PATH))
        at = self._document.value_at(_PATH) if written else place()
        if why:
            fix = 'write "{{ id }}.mp4"' if written else "shorten the id, or the values of its matrix"
            self.problems.append(at.problem("filename", f"filename {why}", fix))
