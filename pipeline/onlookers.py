"""Those who are told how a run goes, and what they are told. Nothing that they do reaches back into the run. Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf

import anyio

from pipeline.breakers import Stop
from pipeline.events import Event
from pipeline.jobs import Job
from pipeline.tally import Gauges, Tally


@dataclass(frozen=True, slots=True)
class Begun:
    """A run that begins. ``path`` is the campaign's absolute folder, ``wanted`` how many jobs it may submit.

    ``tally`` goes on with the run, and has each event when it is told. ``now`` is the run's wall clock.
    """

    path: str
    wanted: int
    tally: Tally
    now: Callable[[], float]


@dataclass(frozen=True, slots=True)
class Exchange:
    """One HTTP request, and how its answer began: by a status, or by the name of an error in its place.

    ``what``: submit, list, poll, content, or storage for a host that we were redirected to. ``target`` is no more of
    the address than can be shown: below the profile's address the path, elsewhere the host alone.
    """

    what: str
    method: str
    target: str
    seconds: float
    status: int | None = None
    error: str | None = None
    request_id: str | None = None


class Progress:
    """Is told how a run goes. This one does nothing with it; the others override what they want to hear."""

    interval = 60.0
    """Seconds between two beats."""

    @property
    def hears(self) -> bool:
        """Whether it overrides ``heard``: where nobody does, nothing is kept of a request."""
        return getattr(self.heard, "__func__", None) is not Progress.heard

    def note(self, text: str) -> None:
        """Something that people should know before the run starts."""

    def started(self, begun: Begun) -> None:
        """The ledger is open and holds what the manifest asks for."""

    def observe(self, before: Job, event: Event, after: Job) -> None:
        """An event is on disk; a job before it, and after."""

    def heard(self, exchange: Exchange) -> None:
        """A request has its answer, or an error."""

    def beat(self, gauges: Gauges) -> None:
        """Time has gone by."""

    def stopping(self, downloads: int) -> None:
        """A signal came: submissions are being recorded, and so many downloads finished."""

    def left(self) -> None:
        """The run leaves without waiting any longer."""

    def ended(self, exit_code: int, stop: Stop | None, signal: int | None, error: str | None = None) -> None:
        """The run is over, everything is recorded; or ``error`` ended it, and says what is not."""


class Several(Progress):
    """Several who are told the same, each with beats as often as it likes."""

    def __init__(self, *members: Progress) -> None:
        self._members = members
        self._due = dict.fromkeys(range(len(members)), -inf)
        self.interval = min(member.interval for member in members)

    @property
    def hears(self) -> bool:
        return any(member.hears for member in self._members)

    def note(self, text: str) -> None:
        for member in self._members:
            member.note(text)

    def started(self, begun: Begun) -> None:
        for member in self._members:
            member.started(begun)

    def observe(self, before: Job, event: Event, after: Job) -> None:
        for member in self._members:
            member.observe(before, event, after)

    def heard(self, exchange: Exchange) -> None:
        for member in self._members:
            member.heard(exchange)

    def beat(self, gauges: Gauges) -> None:
        now = anyio.current_time()
        for number, member in enumerate(self._members):
            if now >= self._due[number]:
                self._due[number] = now + member.interval - self.interval / 2
                member.beat(gauges)

    def stopping(self, downloads: int) -> None:
        for member in self._members:
            member.stopping(downloads)

    def left(self) -> None:
        for member in self._members:
            member.left()

    def ended(self, exit_code: int, stop: Stop | None, signal: int | None, error: str | None = None) -> None:
        for member in self._members:
            member.ended(exit_code, stop, signal, error)
