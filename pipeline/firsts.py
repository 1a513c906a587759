"""Whether a name, or a request, was there before, where a million may have to be asked about. Pure.

As long as nothing comes twice only its hash is kept, a fifth of what it takes itself. When something does, what came
before is looked up in the specs, once, and from then on kept.
"""

from collections.abc import Sequence

from pipeline.jobs import Spec


class Names:
    """The names of ``specs`` without their takes: upper and lower case are one."""

    def __init__(self, specs: Sequence[Spec]) -> None:
        self._specs = specs
        self._hashes: set[int] = set()
        self._positions: dict[str, int] = {}

    def first(self, name: str) -> int | None:
        """Return the position of the first spec that has the name; None where the next one to come is the first."""
        name, here = name.lower(), len(self._specs)
        if not self._positions:
            if hash(name) not in self._hashes:
                self._hashes.add(hash(name))
                return None
            for position, spec in enumerate(self._specs):
                self._positions.setdefault(spec.name.rpartition("#")[0].lower(), position)
        found = self._positions.setdefault(name, here)
        return None if found == here else found


class Requests:
    """The requests of the first take of each of ``specs`` that is enabled."""

    def __init__(self, specs: Sequence[Spec]) -> None:
        self._specs = specs
        self._prompts: set[int] = set()  # their hashes: as long as no prompt comes twice, no request does
        self._positions: dict[bytes, int] = {}

    def first(self, position: int, spec: Spec) -> int | None:
        """Return the position of the first spec that asks for what the one at the position does, if it is another."""
        if not self._positions:
            prompt = hash(str(spec.request.get("prompt")))
            if prompt not in self._prompts:
                self._prompts.add(prompt)
                return None
            for before, other in enumerate(self._specs):
                if other.take == 1 and other.enabled:
                    self._positions.setdefault(_digest(other), before)
        found = self._positions.setdefault(_digest(spec), position)
        return None if found == position else found


def _digest(spec: Spec) -> bytes:
    return bytes.fromhex(spec.request_hash[:32])
