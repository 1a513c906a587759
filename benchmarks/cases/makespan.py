"""How long a campaign takes, and how much it asks, in virtual time: no noise, the same numbers on every machine."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import material
from benchmarks.processes import side
from benchmarks.rows import Broken, Row, bound, cheaper, share
from benchmarks.virtual import Setting

if TYPE_CHECKING:
    from benchmarks.suite import Bench

SETTINGS = (
    Setting(500, 60, 20, 61, spread=0),
    Setting(500, 60, 20, 60),
    Setting(500, 60, 200, 60),
    Setting(500, 25, 50, 90),
    Setting(500, 600, 100, 15),
    Setting(100, 60, 10, 30),
    Setting(40, 60, 40, 60),
)
"""Those of the goal: limited by the rate, by the places at the server, or by neither."""

SHORT = (Setting(8, 60, 4, 15),)

CROWD = Setting(1500, 6000, 500, 60)
"""Five hundred in flight."""

SEEDS = 3
"""Runs of a setting, each with other latencies: nothing else differs between two."""

POLL = {"first": 1, "interval": 0.5, "slowest": 10}
"""Seconds."""


def measure(bench: "Bench") -> Sequence[Row]:
    """The whole runner against FIFO0, for each setting; then five hundred in flight, with a list and without.

    Five hundred take long, and differ little: a seed less.
    """
    rows: list[Row] = []
    settings = SHORT if bench.short else SETTINGS
    for setting in settings:
        runs = [_run(bench, setting, seed) for seed in range(min(bench.rounds, SEEDS))]
        name = f"makespan ({setting.jobs}, {setting.rate:g}/min, {setting.at_once}, {setting.seconds:g} s)"
        rows.append(_makespan(name, runs))
        rows.append(bound(name, "429s a job", [run["refused"] / setting.jobs for run in runs], most=0.05))
    crowd = replace(CROWD, jobs=bench.size(CROWD.jobs, 10), at_once=bench.size(CROWD.at_once, 5))
    seeds = range(min(bench.rounds, SEEDS - 1))
    listed, single = ([_run(bench, crowd, seed, lists=lists) for seed in seeds] for lists in (True, False))
    name = f"polls ({crowd.at_once} in flight)"
    rows.append(_makespan(name, listed))
    asked = [[run["asked"] / crowd.jobs for run in runs] for runs in (listed, single)]
    rows.append(cheaper(name, "requests a job", *asked, "one GET for each job", least=20))
    seconds = [[run["seconds"] for run in runs] for runs in (listed, single)]
    rows.append(share(name, "seconds", *seconds, "one GET for each job", most=None))
    return rows


def _makespan(name: str, runs: Sequence[Mapping[str, Any]]) -> Row:
    seconds, best = ([run[which] for run in runs] for which in ("seconds", "best"))
    return share(name, "seconds", seconds, best, "FIFO0", most=1.05)


def _run(bench: "Bench", setting: Setting, seed: int, *, lists: bool = False) -> Mapping[str, Any]:
    scratch = bench.scratch / f"{setting.jobs}-{setting.rate:g}-{setting.at_once}-{setting.seconds:g}-{seed}-{lists}"
    scratch.mkdir()
    used = side(campaign, folder=scratch, setting=asdict(setting), seed=seed, lists=lists)
    return used.told | {"cpu": used.cpu}


def campaign(folder: str, setting: Mapping[str, Any], seed: int, lists: bool) -> Mapping[str, Any]:
    """Run a campaign on trio's MockClock, with the world of the tests around the runner."""
    import anyio
    import trio.testing

    from benchmarks.virtual import Server, zero_overhead
    from pipeline.jobs import Spec, State
    from pipeline.profile import profile_from
    from tests.world import World

    met = Setting(**setting)
    material.clip(path=f"{folder}/clip.mp4", size=64 << 10)
    server = Server(met, met.latencies(seed), Path(folder, "clip.mp4").read_bytes())
    limits = {"requests_per_minute": met.rate, "max_in_flight": met.at_once, "polls_per_second": 1000, "downloads": 100}
    profile = profile_from(material.described() | {"poll": POLL, "limits": limits, "abilities": {"list": lists}})
    request = {"model": "sora-2", "size": "1280x720", "seconds": "4"}
    specs = [
        Spec(f"job-{number}", 1, {**request, "prompt": material.prompt(number)}, f"{number}.mp4", "bench.yaml:1:1")
        for number in range(met.jobs)
    ]
    world = World(Path(folder), None, server, profile)  # type: ignore[arg-type]

    async def run() -> float:
        began = anyio.current_time()
        await world.run(specs)
        return anyio.current_time() - began

    clock = trio.testing.MockClock(autojump_threshold=0)
    seconds = anyio.run(run, backend="trio", backend_options={"clock": clock})
    done = sum(job.state is State.DONE for job in world.jobs().values())
    if not done == server.created == server.downloads == met.jobs:
        raise Broken(f"{done} are done, {server.created} were created, {server.downloads} fetched")
    return {
        "seconds": seconds,
        "best": zero_overhead(met, server.latencies),
        "refused": server.refused,
        "asked": server.polls + server.pages,
        "polls": server.polls,
        "pages": server.pages,
        "most": server.most,
    }
