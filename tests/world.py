"""A world in which hours take milliseconds: the shipped runner, ledger and simulator on trio's MockClock.

Faults are scripted between the runner and the simulator, at the HTTP seam; nothing of our own is replaced. What the
tests look at is what a user would: the ledger, the files, the bill, and the requests that the server saw.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import accumulate
from pathlib import Path
from random import Random
from typing import Any

import anyio
from anyio.abc import TaskGroup

from pipeline.blocking import Blocking, inline
from pipeline.breakers import Signals, Tolerance
from pipeline.client import POSTS_AT_ONCE, VideosClient
from pipeline.clock import steady
from pipeline.credential import Secret
from pipeline.images import Image
from pipeline.inputs import Inputs
from pipeline.jobs import Job, Spec, State
from pipeline.ledger import reading
from pipeline.ledger.store import SqliteLedger
from pipeline.limits import Adaptive, Contact, Places, RateLimiter, Slots
from pipeline.onlookers import Begun, Progress
from pipeline.outputs import Outputs
from pipeline.pacing import Pace
from pipeline.policies import policy
from pipeline.polling import Poller
from pipeline.profile import Profile
from pipeline.reconciliation import Reconciler
from pipeline.runner import Observer, Run
from pipeline.simulator.service import VideoService
from pipeline.simulator.store import BillLine
from pipeline.steps import Tools
from pipeline.summary import Status
from pipeline.supervision import Telling
from pipeline.tally import Tally

EPOCH = 1_800_000_000.0
Message = MutableMapping[str, Any]
App = Callable[[Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]
Fault = Callable[[App, Message, Any, Any], Awaitable[None]]


def now() -> float:
    return EPOCH + anyio.current_time()


def answers(status: int, body: bytes = b"{}", **headers: str) -> Fault:
    """The server answers this, and does nothing."""

    async def fault(app: App, scope: Message, receive: Any, send: Any) -> None:
        names = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": names})
        await send({"type": "http.response.body", "body": body})

    return fault


def does_and_then(fault: Fault) -> Fault:
    """The server does what it was asked to, and then something happens to its answer."""

    async def after(app: App, scope: Message, receive: Any, send: Any) -> None:
        async def swallow(_: Message) -> None: ...

        await app(scope, receive, swallow)
        await fault(app, scope, receive, send)

    return after


def breaks(error: Exception) -> Fault:
    """The connection ends like this."""

    async def fault(app: App, scope: Message, receive: Any, send: Any) -> None:
        raise error

    return fault


def waits(seconds: float) -> Fault:
    """The server takes its time."""

    async def fault(app: App, scope: Message, receive: Any, send: Any) -> None:
        await anyio.sleep(seconds)
        await app(scope, receive, send)

    return fault


def after_waiting(seconds: float, fault: Fault) -> Fault:
    """It takes this long until the fault."""

    async def later(app: App, scope: Message, receive: Any, send: Any) -> None:
        await anyio.sleep(seconds)
        await fault(app, scope, receive, send)

    return later


def carries_out_later(world: "World", group: TaskGroup, seconds: float, then: Fault) -> Fault:
    """The server does what it was asked to so much later; what its answer comes to is known at once."""

    async def create(body: bytes) -> None:
        await anyio.sleep(seconds)
        world.service.create(body, None)

    async def fault(app: App, scope: Message, receive: Any, send: Any) -> None:
        message = await receive()
        while message["more_body"]:
            body, message = message["body"], await receive()
        group.start_soon(create, body)
        await then(app, scope, receive, send)

    return fault


@dataclass
class World:
    folder: Path
    service: VideoService
    app: App
    profile: Profile
    seen: list[tuple[float, str, str]] = field(default_factory=list)
    faults: list[tuple[Callable[[str, str], bool], list[Fault]]] = field(default_factory=list)
    rng: Random = field(default_factory=lambda: Random(1))
    clock_error: float = 0.0
    secret: Secret | None = None

    def fault(self, method: str, ending: str, *faults: Fault) -> None:
        """The next requests of this method whose path ends so meet these faults, one each."""
        self.faults.append((lambda verb, path: verb == method and path.endswith(ending), list(faults)))

    async def __call__(self, scope: Message, receive: Any, send: Any) -> None:
        method, path = scope["method"], scope["path"]
        self.seen.append((anyio.current_time(), method, path))
        for fits, faults in self.faults:
            if faults and fits(method, path):
                await faults.pop(0)(self.app, scope, receive, send)
                return
        await self.app(scope, receive, send)

    def count(self, method: str, ending: str = "") -> int:
        return sum(verb == method and path.endswith(ending) for _, verb, path in self.seen)

    async def run(
        self,
        specs: list[Spec],
        *,
        selected: Callable[[Job], bool] = lambda job: True,
        until: float | None = None,
        max_cost: float | None = None,
        max_videos: int | None = None,
        resubmit_absent: bool = False,
        retry: Mapping[str, Any] | None = None,
        key: str | None = None,
        images: Iterable[Image] = (),
        observe: Observer = lambda before, event, after: None,
        progress: Progress | None = None,
        tolerance: Tolerance | None = None,
        blocking: Blocking = inline,
        **limits: float,
    ) -> Signals:
        """One run of the shipped runner over these jobs. ``until``: seconds after which a signal would come.

        ``progress`` is told how it goes, as by the command.

        ``blocking`` makes its calls to the disk, but for the ledger's.
        ``key``: the fingerprint of the one that it has. ``images`` are staged before anything is enrolled.
        """
        bounds = replace(self.profile.limits, **limits)
        now = steady(self._now, anyio.current_time)
        outputs = Outputs(self.folder)
        outputs.probe()
        inputs = Inputs(self.folder)
        for image in images:
            inputs.stage(image)
        with closing(SqliteLedger.create_or_open(self.folder / "ledger.db", now=now, blocking=inline)) as ledger:
            settings = {"name": "world", "currency": "USD"}
            await ledger.enrol(specs, settings=settings, max_cost=max_cost, max_videos=max_videos)
            largest = max((job.bytes or 0 for job in self.jobs().values()), default=0)
            signals = Signals(Contact(), tolerance, largest=largest)
            async with VideosClient(
                self.profile.base_url or "http://host/v1",
                profile=self.profile,
                key=self.secret,
                downloads=bounds.downloads,
                app=self,
                heard=progress.heard if progress else lambda exchange: None,
            ) as client:
                pace = Adaptive(bounds.requests_per_minute / 60)
                polls = RateLimiter(bounds.polls_per_second)
                able, doubt = self.profile.abilities, self.profile.doubt
                tools = Tools(
                    client=client,
                    outputs=outputs,
                    inputs=inputs,
                    profile=self.profile,
                    posts=anyio.Semaphore(POSTS_AT_ONCE, fast_acquire=True),
                    submits=RateLimiter(pace.rate),
                    pace=pace,
                    polls=polls,
                    poller=Poller(
                        client,
                        pace=Pace(self.profile.poll),
                        turn=polls.acquire,
                        lists=able.list and able.same_id,
                        rng=self.rng,
                    ),
                    downloads=Places(bounds.downloads),
                    reconciler=Reconciler(
                        client,
                        claimed=ledger.claimed,
                        turn=polls.acquire,
                        settle=doubt.settle,
                        between=doubt.between,
                        now=now,
                    ),
                    remember=ledger.remember,
                    max_in_flight=int(bounds.max_in_flight),
                    max_video_mib=int(bounds.max_video_mib),
                    signals=signals,
                    key_fingerprint=key,
                    now=now,
                    rng=self.rng,
                    blocking=blocking,
                )
                run = Run(
                    ledger=ledger,
                    tools=tools,
                    slots=Slots(int(bounds.max_in_flight)),
                    policy=policy(self.profile, retry=retry, resubmit_absent=resubmit_absent),
                    wanted=selected,
                    observe=observe,
                )
                with anyio.move_on_after(until) if until is not None else anyio.CancelScope():
                    await (run() if progress is None else self._told(run, progress, now))
        return signals

    async def _told(self, run: Run, progress: Progress, now: Callable[[], float]) -> None:
        with reading.opened(self.folder / "ledger.db") as connection:
            jobs, budget = tuple(reading.jobs(connection)), reading.account(connection).max_cost
            renders = [seconds for _, seconds in reversed(reading.render_times(connection))]
        status = Status("world", str(self.folder), "USD", jobs, budget)
        todo = sum(job.state is State.PLANNED for job in jobs)
        tally = Tally.begun(status, todo=todo, renders=renders, now=now())
        telling = Telling(Begun(status.path, todo, tally, now), progress)
        progress.started(telling.begun)

        async def beat() -> None:
            while True:
                telling.beat(run.gauges())
                await anyio.sleep(progress.interval)

        async with anyio.create_task_group() as group:
            group.start_soon(beat)
            await replace(run, observe=telling.observe)()
            group.cancel_scope.cancel()
        telling.at(run.gauges())
        progress.ended(0, run.tools.signals.stop, None)

    def _now(self) -> float:
        return now() + self.clock_error

    def bill(self) -> list[BillLine]:
        return self.service.store.bill()

    def most_at_once(self) -> int:
        """How many jobs the server had at the most, by its own account of their lives."""
        lives = [record.life for record in self.service.store.videos(after=None, order="asc", limit=10_000)]
        changes = sorted([(life.created_at, 1) for life in lives] + [(life.ended_at, -1) for life in lives])
        return max(accumulate(change for _, change in changes))

    def jobs(self) -> dict[str, Job]:
        with reading.opened(self.folder / "ledger.db") as connection:
            return {job.name: job for job in reading.jobs(connection)}

    def states(self) -> set[State]:
        return {job.state for job in self.jobs().values()}

    def events(self, name: str) -> list[str]:
        with reading.opened(self.folder / "ledger.db") as connection:
            return [entry.kind for entry in reading.events(connection, self.jobs()[name])]


def spec(number: int, prompt: str | None = None, **request: object) -> Spec:
    body = {"model": "sora-2", "prompt": prompt or f"Shot {number}", "size": "1280x720", "seconds": "4", **request}
    return Spec(f"shot-{number}#1", 1, body, f"shot-{number}-t1.mp4", "m.yaml:1:1")
