"""What goes through the campaign: the real command, with a server that lists its videos and with one that does not;
and the control, a script that writes down what it has paid after it has paid it."""

import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from failpoints import FAILPOINTS
from injection import Instant
from trial import HERE

from pipeline.jobs import Job, State
from pipeline.ledger import reading

_MANIFEST = """\
version: 1
name: trip
provider: paid
jobs:
  - id: "shot-{{ row_number }}"
    from: prompts.txt
    takes: TAKES
"""
# The server bills within 2.5 seconds and has the video in its list half a second later. ``settle`` is longer where
# absence is acted upon, so that a busy machine does not make the assumption wrong.
_PROFILE = """\
name: paid
title: The server of the kill campaign
base_url: URL
auth: { scheme: none }
request:
  schema: sora-request.schema.json
  defaults: { model: sora-2, size: 1280x720, seconds: "4" }
abilities: ABILITIES
poll: { first: 0.1, interval: 0.1, slowest: 0.3 }
limits: { requests_per_minute: 6000, max_in_flight: 10, polls_per_second: 50, downloads: 4 }
"""

RETURNED = "returned"
"""A job that is planned again after its request was certainly not carried out."""

UNDER_WAY = (
    State.SUBMITTING.value,
    State.IN_DOUBT.value,
    RETURNED,
    State.SUBMITTED.value,
    State.COMPLETED.value,
    State.VERIFIED.value,
)
"""Where a job can be between intent and done."""

_OPEN = {State.PLANNED.value, *UNDER_WAY}
_NEEDS_LIST = frozenset({"adoption-unwritten", "adoption-written"})
_NEEDS_NO_LIST = frozenset({"hold-written"})


def _prompts(name: str, jobs: int) -> str:
    return "".join(f"Shot {number} of {name}\n" for number in range(1, jobs + 1))


class Callsheet:
    """The real command. Which instants it can be killed at depends on what its server can do.

    With ``takes`` each prompt is asked for so often: requests that nothing tells apart but their number. With
    ``resubmit`` what the list does not show is paid for again, so no job may be held in the end.
    """

    def __init__(
        self, name: str, folder: Path, *, prompts: int, takes: int = 1, listing: bool = False, resubmit: bool = False
    ) -> None:
        self.jobs = prompts * takes
        self.takes = takes
        self.failpoints = failpoints(listing=listing)
        self.campaign = folder / "outputs/trip"
        self.ledger: Path | None = self.campaign / "ledger.db"
        self.listing, self.resubmit = listing, resubmit
        self._arguments = [*_ARGUMENTS, *["--resubmit-absent"] * resubmit]
        self._name, self._folder = name, folder

    def prepare(self, url: str) -> None:
        (self._folder / "trip.yaml").write_text(_MANIFEST.replace("TAKES", str(self.takes)))
        (self._folder / "prompts.txt").write_text(_prompts(self._name, self.jobs // self.takes))
        able = f"{{ list: true }}\ndoubt: {{ settle: {5 if self.resubmit else 3}, between: 1 }}"
        profile = _PROFILE.replace("URL", url).replace("ABILITIES", able if self.listing else "{}")
        (self._folder / "paid.yaml").write_text(profile)

    def waiting(self) -> list[str]:
        return [sys.executable, str(HERE / "failpoints.py"), "-", "--", *self._arguments]

    def plain(self) -> list[str]:
        return [sys.executable, "-m", "pipeline", *self._arguments]

    def rows(self) -> list[Job]:
        """Return what the ledger holds; nothing before there is one."""
        if self.ledger is None or not self.ledger.exists():
            return []
        with reading.opened(self.ledger) as connection:
            return list(reading.jobs(connection))

    def standing(self) -> Counter[str]:
        return Counter(_standing(job) for job in self.rows())

    def submitting(self) -> list[str]:
        return [str(job.request["prompt"]) for job in self.rows() if job.state is State.SUBMITTING]

    def under_way(self, standing: Mapping[str, int]) -> bool:
        return any(standing.get(state) for state in UNDER_WAY)

    def settled(self, standing: Mapping[str, int]) -> bool:
        return bool(standing) and not any(standing.get(state) for state in _OPEN)


_ARGUMENTS = ("run", "trip.yaml", "--profile", "paid.yaml", "--yes")


def failpoints(*, listing: bool) -> Sequence[str]:
    """Return the names of the instants at which a run against such a server can be killed."""
    others = _NEEDS_NO_LIST if listing else _NEEDS_LIST
    return [*(name for name in FAILPOINTS if name not in others), *Instant]


def _standing(job: Job) -> str:
    return RETURNED if job.state is State.PLANNED and job.attempt else job.state.value


class Naive:
    """The control. It has no failpoints of its own; those of the network do for it."""

    failpoints: Sequence[str] = [instant for instant in Instant if instant is not Instant.MID_CONTENT]
    ledger: Path | None = None
    takes = 1

    def __init__(self, name: str, folder: Path, *, jobs: int) -> None:
        self.jobs = jobs
        self._name, self.folder = name, folder

    def prepare(self, url: str) -> None:
        self._url = url
        (self.folder / "prompts.txt").write_text(_prompts(self._name, self.jobs))

    def waiting(self) -> list[str]:
        return [sys.executable, str(HERE / "naive.py"), self._url, "prompts.txt", "."]

    plain = waiting

    def ids(self) -> dict[str, str]:
        """Return the ids that it has written down, by prompt."""
        path = self.folder / "state.json"
        return dict(json.loads(path.read_text())) if path.exists() else {}

    def standing(self) -> Counter[str]:
        done = len(list(self.folder.glob("*.mp4")))
        return Counter({"done": done, "submitted": max(0, len(self.ids()) - done), "open": self.jobs - done})

    def submitting(self) -> list[str]:
        return []

    def under_way(self, standing: Mapping[str, int]) -> bool:
        return bool(standing["open"])

    def settled(self, standing: Mapping[str, int]) -> bool:
        return not standing["open"]
