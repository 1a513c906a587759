"""What a person says beside the manifest."""

from __future__ import annotations  # what only lends its type is not loaded

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.network import Network
from pipeline.providers import Profiles

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.breakers import Tolerance
    from pipeline.saved import Saved


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
