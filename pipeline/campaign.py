"""A campaign's folder: where things are in it, and what nothing else may be written over."""

from __future__ import annotations  # who only asks where a ledger is loads nothing of videos

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.inputs import Inputs
    from pipeline.outputs import Outputs


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

    def refuse_its_own(self, path: Path) -> None:
        """Raise UsageError where the campaign keeps something at the path, or may: nothing else is written there."""
        place, here = path.resolve(), self.folder.resolve()
        kept = (self.outputs.videos, self.outputs.rejected, here / "inputs")
        beside = place.parent == here and place.name.startswith((self.ledger.stem, self.simulator.stem))
        if beside or any(place.is_relative_to(folder.resolve()) for folder in kept):
            raise UsageError(f"{path} belongs to the campaign: choose another place")

    @property
    def outputs(self) -> Outputs:
        from pipeline.outputs import Outputs  # noqa: PLC0415  # as above

        return Outputs(self.folder)

    @property
    def inputs(self) -> Inputs:
        from pipeline.inputs import Inputs  # noqa: PLC0415  # as above

        return Inputs(self.folder)
