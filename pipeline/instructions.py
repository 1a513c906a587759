"""What a person says beside the manifest."""

from __future__ import annotations  # what only lends its type is not loaded

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import shipped
from pipeline.errors import CallsheetError, UsageError
from pipeline.network import Network
from pipeline.shipped import PROFILE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.breakers import Tolerance
    from pipeline.profile import Profile
    from pipeline.saved import Saved


@dataclass(frozen=True, slots=True)
class Profiles:
    """Whose profiles there are: one of a ``file``, those of a ``folder`` of the person's own, and ours.

    Never one from beside a manifest: who writes a manifest must not say where the key goes.
    """

    file: Path | None = None
    folder: Path | None = None

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted({*shipped.profile_names(), *self.own}))

    @property
    def own(self) -> Mapping[str, Path]:
        """The files of the person's folder, by the name that each must have. One with the name of ours replaces it."""
        if self.folder is None or not self.folder.is_dir():
            return {}
        return {path.stem: path for path in sorted(self.folder.glob(f"*{PROFILE}"))}

    def sound(self) -> tuple[Profile, ...]:
        """Return the profiles that can be read: one in a person's folder that has mistakes is nobody's concern yet."""
        found = []
        for name in self.names:
            with suppress(CallsheetError):
                found.append(self.named(name))
        return tuple(profile for profile in found if profile)

    def named(self, name: str) -> Profile | None:
        """Return the profile of this name, or None. Raises UsageError, ManifestError for a file that is none."""
        from pipeline.profile import profile_from  # noqa: PLC0415  # as below

        return None if (found := self.written(name)) is None else profile_from(found)

    def written(self, name: str) -> Mapping[str, Any] | None:
        """Return the profile of this name as it is written, or None. Raises as ``named`` does."""
        from pipeline.providers import written_profile  # noqa: PLC0415  # who only reads a ledger has no use for it

        if self.file is not None and (given := written_profile(self.file))["name"] == name:
            return given
        if name in self.own:
            found = written_profile(self.own[name])
            if found["name"] != name:
                raise UsageError(
                    f"{self.own[name]} has the profile {found['name']!r}: name it {found['name']}{PROFILE}"
                )
            return found
        return written_profile(name) if name in shipped.profile_names() else None


@dataclass(frozen=True, slots=True)
class Options:
    """What a person may say beside the manifest. ``output`` holds a folder for each campaign.

    ``profiles`` are the profiles that there are, ``network`` is what is between here and the servers, ``grace`` the
    seconds that a signal leaves to what is in flight. ``same_account``: another key is of the same account.
    ``ask_above``: what may be spent beyond what was agreed to before anybody is asked. ``plan`` is to be run exactly.
    """

    output: Path = Path("outputs")
    variables: Mapping[str, str] = field(default_factory=dict)
    select: tuple[str, ...] = ()
    limit: int | None = None
    sample: int | None = None
    seed: int = 0
    base_url: str | None = None
    allow_http: bool = False
    same_account: bool = False
    yes: bool = False
    profiles: Profiles = field(default_factory=Profiles)
    network: Network = field(default_factory=Network)
    no_submit: bool = False
    resubmit_absent: bool = False
    max_cost: float | None = None
    max_videos: int | None = None
    price: float | None = None
    ask_above: float = 0.0
    plan: Saved | None = None
    takeover: bool = False
    grace: float = 25.0
    tolerance: Tolerance | None = None
